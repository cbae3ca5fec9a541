/** An error as the system gives it, without a stack: making one costs more than most exchanges. */
export function systemError(code: string, message = code): NodeJS.ErrnoException {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = Object.assign(new Error(message), { code });
  Error.stackTraceLimit = stackTraceLimit;
  return error;
}
