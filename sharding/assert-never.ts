/** Ends a `switch` over a union: a member that was forgotten fails to compile. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value: ${JSON.stringify(value)}`);
}
