/** Names the verifiers of the application's logins, so that a Shard can be told which ones it is to have. */
import { digest } from '#kernel/canonical.ts';

export function verifierVersion(internal: Readonly<Record<string, string>>): string {
  return digest([internal['app-verifier'] ?? '', internal['reference-verifier'] ?? '']);
}
