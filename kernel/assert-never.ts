/** Ends a `switch` over a union: compiles only while every member has its case, throws if data lied about its type. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value: ${JSON.stringify(value)}`);
}
