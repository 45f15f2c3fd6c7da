/** Quoting. Every name that came from an object's spec passes through here on its way into SQL. */

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Safe whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** `users` means `public.users`. */
export function fullTableName(declared: string): string {
  return declared.includes('.') ? declared : `public.${declared}`;
}
