// `npm run docs`: makes what is made from the sources: config.schema.json, config.example.yaml and
// docs/reference/. With --check it writes nothing, and fails when a file is not what it should be, or a page
// names what is not there.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { commands } from '../src/cli/commands.ts';
import { jsonSchema } from '../src/config/json-schema.ts';
import { OVERLAY_KEYS } from '../src/config/overlay-keys.ts';
import { BOUNDS, formatBound } from '../src/model/bounds.ts';
import { reasons } from '../src/model/reason.ts';
import { families } from '../src/observe/families.ts';
import { exampleYaml, keyRows } from './config-docs.ts';
import { unknownNames } from './docs-names.ts';

const root = join(import.meta.dirname, '..');
const NOTE = '<!-- Made by `npm run docs`. -->\n\n';

const files: Readonly<Record<string, string>> = {
  'config.schema.json': `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  'config.example.yaml': exampleYaml(),
  'docs/reference/config.md': configPage(),
  'docs/reference/cli.md': cliPage(),
  'docs/reference/reasons.md': reasonsPage(),
  'docs/reference/metrics.md': metricsPage(),
  'docs/reference/overlay.md': overlayPage(),
  'docs/limits.md': limitsPage(),
};

const stale = Object.entries(files).filter(([file, text]) => {
  const path = join(root, file);
  return !existsSync(path) || readFileSync(path, 'utf8') !== text;
});
if (process.argv.includes('--check')) {
  for (const [file] of stale) console.error(`${file} is not up to date: run 'npm run docs'`);
  const unknown = unknownNames(root);
  for (const line of unknown) console.error(line);
  process.exitCode = stale.length + unknown.length === 0 ? 0 : 1;
} else {
  for (const [file, text] of stale) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
    console.log(`wrote ${file}`);
  }
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

function configPage(): string {
  const rows = keyRows().map(({ key, fallback, description }) => [
    `\`${key}\``,
    fallback === '' ? '' : `\`${fallback}\``,
    description,
  ]);
  return `# Configuration

${NOTE}Every key of the YAML file (\`--config FILE\`). Flags win over the environment, that over the overlay in
the registry, that over the file. The overlay
sets [services and routers](overlay.md) alone. \`NAME\` stands for a name of yours, \`[]\` for the elements of a list.
Durations are written \`500ms\`, \`10s\`, \`1m30s\`; sizes \`512\`, \`32KiB\`, \`2MB\`; shares \`20%\` or \`0.2\`.
\`\${VAR}\`, \`\${VAR:-default}\` and \`\${VAR:?message}\` in a value are replaced from the environment,
in the file alone.

A service can say the keys below \`services.NAME\` of itself in the registry: as tags
\`upriver.health.path=/health\` or as Meta \`upriver-health-path\`; of \`listen\` the address alone.

${tableOf(['key', 'default', 'meaning'], rows)}`;
}

function overlayPage(): string {
  const rows = keyRows()
    .filter(({ key }) => OVERLAY_KEYS.has(key))
    .map(({ key, description }) => [`\`${key}\``, description]);
  return `# The overlay in the registry

${NOTE}The Consul KV key \`upriver/config\` (\`registries.consul.kv_key\`; empty turns it off) is laid over the
configuration file while it exists. It can set these keys and no others: whoever may write it reaches
services and routers, and no registry, file, unix socket, secret, log or environment variable.

- An overlay with any other key, with a unix socket in \`listen\`, or with a reference such as \`\${VAR}\` is
  refused as a whole. The error names the KV key, line and column; the running configuration stays, and
  changes of the file are applied with the last good overlay, or without one where the file rules that
  out as well (a narrower \`listen_allow\`).
- Delete the key, and what it did is undone.
- A listener that the other layers do not have must be within \`registries.consul.listen_allow\`, as one of
  a tag.
- Where another layer has the password of a service's check, the overlay sets neither \`health.type\`, \`health.port\`,
  \`from\` nor \`upstream.host\` of that service: they decide to whom, and how, the password is sent.
- A \`routers\` list in the overlay replaces the list of the file.

${tableOf(['key', 'meaning'], rows)}`;
}

/** The page with the table of bounds between its marks made anew; the rest is written by hand. */
function limitsPage(): string {
  const text = readFileSync(join(root, 'docs/limits.md'), 'utf8');
  const rows = Object.values(BOUNDS).map((bound) => [
    bound.input,
    bound.what,
    formatBound(bound),
    bound.beyond,
  ]);
  const table = tableOf(['input', 'what is bounded', 'bound', 'beyond it'], rows);
  return text.replace(
    /(<!-- bounds[^>]*-->\n)[\s\S]*(<!-- end of bounds -->)/,
    (_, begin: string, end: string) => `${begin}\n${table}\n${end}`,
  );
}

function cliPage(): string {
  const sections = commands.map(({ name, alias, words, help, flags, exitCodes }) => {
    const also = alias === undefined ? '' : ` (also \`${alias}\`)`;
    const rows = flags.map((flag) => [
      `\`--${flag.name}${flag.value === '' ? '' : ` ${flag.value}`}\``,
      flag.environment === '' ? '' : `\`${flag.environment}\``,
      flag.help + (flag.isRepeatable ? ' (repeatable)' : ''),
    ]);
    const table = rows.length === 0 ? '' : `\n${tableOf(['flag', 'environment', 'meaning'], rows)}`;
    const codes = exitCodes === undefined ? '' : `\nExit codes: ${exitCodes}.\n`;
    return `## upriver ${name}${words === '' ? '' : ` ${words}`}\n\n${help}${also}.\n${codes}${table}`;
  });
  return `# Commands\n\n${NOTE}Exit codes: 0 done, 1 failure, 2 bad usage or configuration, where a command does not say otherwise.\n\n${sections.join('\n')}`;
}

function reasonsPage(): string {
  const rows = reasons.map((reason) => [
    `\`${reason.code}\``,
    reason.side,
    reason.status === 0 ? 'cut' : String(reason.status),
    reason.retry,
    reason.text,
  ]);
  return `# Reasons

${NOTE}Why a request ended otherwise than with the endpoint's answer: the value of \`X-Upriver-Reason\`, of the
\`reason\` labels of the metrics and of \`reason\` in the logs. *Retry* says what may be made again: \`unsent\`
any request, for nothing of it was sent; \`idempotent\` only GET, HEAD, OPTIONS, PUT and DELETE.

${tableOf(['reason', 'whose', 'status', 'retry', 'meaning'], rows)}`;
}

function metricsPage(): string {
  // The rows of one name differ by a label; the page tells each name once.
  const rows = families.map(({ name, labels, help }) => [
    `\`${name}\``,
    labels.filter((label) => label !== 'le').join(', '),
    help,
  ]);
  return `# Metrics

${NOTE}Served on \`/metrics\` of the stats port, together with the defaults of the process. Series of an endpoint
that has left vanish with it.

${tableOf(['metric', 'labels', 'meaning'], rows)}`;
}
