/** Names the verifiers of the application's logins, so that a Shard can be told which ones it is to have. */
import { hashOf } from '#controllers/stable-json.ts';

export function verifierVersion(internal: Readonly<Record<string, string>>): string {
  return hashOf([internal['app-verifier'] ?? '', internal['reference-verifier'] ?? '']);
}
