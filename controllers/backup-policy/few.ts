/** Messages that name some of many. Pure. */

/** Shards that a message names. */
export const NAMED = 3;

/** What is told of the first, and how many more there are. */
export function few(told: readonly string[]): string {
  const more = told.length > NAMED ? `; and ${told.length - NAMED} more` : '';
  return `${told.slice(0, NAMED).join('; ')}${more}`;
}

export function fewNames(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return `${names.slice(0, NAMED).join(', ')}${more}`;
}
