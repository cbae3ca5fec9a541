// Secrets of ours that somebody gives back: a server that refuses a command or a request may quote it, also
// the password or the token in it, and what it says is shown.

/** What is shorter is found where it is no secret. */
const LENGTH_MIN = 4;
/** So much of the beginning is taken for the secret: the text may have been cut within it. */
const HEAD = 6;

/** The forms in which `user:password` is sent, and the password alone. */
export function formsOfBasic(userAndPassword: string): string[] {
  const password = userAndPassword.slice(userAndPassword.indexOf(':') + 1);
  return [userAndPassword, password, Buffer.from(userAndPassword).toString('base64')];
}

/**
 * The text with asterisks for these secrets: as they are, as JSON and a query write them, and from their
 * beginning to where the text was cut.
 */
export function hideOwn(text: string, secrets: readonly string[]): string {
  const forms = secrets
    .filter((secret) => secret.length >= LENGTH_MIN)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), inQuery(secret)]);
  const heads = Map.groupBy(new Set(forms), (form) => form.slice(0, HEAD));
  return [...heads].reduce((left, [head, same]) => hideFrom(left, head, same), text);
}

/** Each time that one of the forms begins, up to where the longest one goes. */
function hideFrom(text: string, head: string, forms: readonly string[]): string {
  let hidden = '';
  let done = 0;
  for (let at = text.indexOf(head); at >= 0; at = text.indexOf(head, done)) {
    hidden += `${text.slice(done, at)}***`;
    done = at + Math.max(...forms.map((form) => commonLength(form, text, at)));
  }
  return hidden + text.slice(done);
}

/** How much of the beginning of `form` stands at this place. */
function commonLength(form: string, text: string, at: number): number {
  let length = 0;
  while (length < form.length && text[at + length] === form[length]) length += 1;
  return length;
}

/** Half of a surrogate pair has no such form. */
function inQuery(secret: string): string {
  return secret.isWellFormed() ? encodeURIComponent(secret) : secret;
}
