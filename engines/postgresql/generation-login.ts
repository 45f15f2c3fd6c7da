/** The logins that carry a shard's generation. */
/** Generations: of writers `app_g<N>`, of readers `app_ro_g<N>`. */
export const generationLogin = /^app_(ro_)?g\d+$/;
export const readerLogin = /^app_ro_g\d+$/;

export interface Login {
  readonly name: string;
  readonly kind: 'writer' | 'reader' | 'reference';
  readonly verifier: string;
}

/** Of `app_g7` or `app_ro_g7`: 7. */
export function generationOf(login: string): number {
  return Number(/^app_(?:ro_)?g(\d+)$/.exec(login)?.[1] ?? 0);
}
