/**
 * The life of a fleet's authority as one pure decision over what its Secret holds. Every state is read from the
 * certificates themselves, so a controller that dies between two steps resumes at the right one:
 *
 *   one certificate            -> issues until two thirds of its life have passed
 *   [old, next] + `next.key`   -> both are trusted, the old one issues, until everybody had time to learn of the next
 *   [next, old]                -> the next one issues; servers are re-issued; the old one stays trusted until the last
 *                                 certificate that it signed has expired
 *
 * The first certificate of the bundle is always the one that issues, and `ca.key` is its key.
 */
import { CERTIFICATE_LIFETIME_DAYS } from './authority.ts';
import { parseBundle, renewalDue } from './policies.ts';

/** How long clients and members are given to pick up a bundle with a new authority before it issues anything. */
export const AUTHORITY_OVERLAP_MS = 24 * 3_600_000;

const DAY_MS = 86_400_000;

/** The authority's Secret, decoded. */
export interface AuthorityFields {
  readonly 'ca.crt'?: string | undefined;
  readonly 'ca.key'?: string | undefined;
  readonly 'next.key'?: string | undefined;
}

export type AuthorityStep =
  | { readonly kind: 'Keep' }
  | { readonly kind: 'Create' }
  /** Certificates exist but the key or the bundle cannot be read: making another would cut every client off. */
  | { readonly kind: 'Damaged'; readonly field: 'ca.crt' | 'ca.key' }
  | { readonly kind: 'AddNext' }
  | { readonly kind: 'Promote'; readonly bundle: string; readonly key: string }
  | { readonly kind: 'DropOld'; readonly bundle: string };

/** `requested`: a person asked for a rotation that has not begun. */
export function decideAuthority(
  fields: AuthorityFields | undefined,
  now: Date,
  requested: boolean,
  overlapMs: number = AUTHORITY_OVERLAP_MS,
): AuthorityStep {
  if (!fields) return { kind: 'Create' };
  const bundle = parseBundle(fields['ca.crt'] ?? '');
  const [issuer, other] = bundle;
  if (!issuer) return { kind: 'Damaged', field: 'ca.crt' };
  if (!fields['ca.key']) return { kind: 'Damaged', field: 'ca.key' };
  const nextKey = fields['next.key'];
  if (nextKey && other) {
    const due = now.getTime() >= other.validFromDate.getTime() + overlapMs;
    return due ? { kind: 'Promote', bundle: join([other, issuer]), key: nextKey } : { kind: 'Keep' };
  }
  if (other) {
    const lastSignedExpires = issuer.validFromDate.getTime() + overlapMs + CERTIFICATE_LIFETIME_DAYS * DAY_MS;
    return now.getTime() >= lastSignedExpires
      ? { kind: 'DropOld', bundle: join([issuer]) }
      : { kind: 'Keep' };
  }
  return requested || renewalDue(issuer, now) ? { kind: 'AddNext' } : { kind: 'Keep' };
}

function join(certificates: readonly { toString(): string }[]): string {
  return certificates.map(certificate => `${certificate.toString().trim()}\n`).join('');
}
