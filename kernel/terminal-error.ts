/** A failure that trying again cannot mend: the controller waits until the object, or what it watches for it, changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
  readonly code: string;
  readonly remedy: string;

  /** `code` is a CamelCase constant, fit for a condition's reason. */
  constructor(code: string, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}
