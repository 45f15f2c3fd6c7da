/** What a person did wrong, or what is not as the command needs it. `remedy` says what to do next. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: string;
  readonly remedy: string;

  constructor(code: string, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/** How an error is shown: what failed, and what to do about it where the error knows. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}\n`;
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? error.remedy : undefined;
  return `error: ${error.message}\n${remedy === undefined ? '' : `What to do: ${remedy}\n`}`;
}
