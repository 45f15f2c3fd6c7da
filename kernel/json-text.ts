/** JSON where its reader is not the first to look at the text. */

/**
 * For readers of YAML as well: an API server takes what is applied for YAML, which has no control characters and no byte
 * order mark but as escapes, and folds line ends that JSON knows nothing of. JSON.stringify leaves those beyond ASCII as they are.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replace(escaped, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

const escaped = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

/** JSON for an environment variable of a container, where Kubernetes would make one `$` of two, and take `$(NAME)` for a reference. */
export function environmentJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('$', '\\u0024');
}
