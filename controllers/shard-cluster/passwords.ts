/**
 * The two Secrets with a fleet's passwords, and how the application's are rotated without anybody being locked out:
 *
 *   1. `next-password` appears beside `password`. Mounts of the Secret are renewed within a minute or two; the client
 *      library tries the next password when the first is refused.
 *   2. After {@link DISTRIBUTION_MS} the databases are given the next verifier. Open sessions live on; new ones use
 *      `next-password`.
 *   3. When every shard has confirmed it, `next-password` becomes `password`.
 *
 * Clients that read the Secret only once must be restarted between 2 and 3, or use the library. Every step is read from
 * the Secrets themselves. Pure but for the randomness that is handed in.
 */

import { verifierVersion } from '#controllers/secrets/verifier-version.ts';
import { scramVerifier, verifies } from '#engines/scram.ts';
import { digest } from '#kernel/canonical.ts';

/** Kubelets renew mounted Secrets within their sync period (1 minute) and their cache's age (1 minute). */
export const DISTRIBUTION_MS = 150_000;

export type Fields = Readonly<Record<string, string>>;

/** Random bytes, injected: `randomBytes` of node:crypto outside tests. */
export type RandomBytes = (size: number) => Buffer;

const INTERNAL_PASSWORDS = ['superuser', 'replication', 'rest'] as const;

/** Annotations of the application's Secret that carry a rotation. */
export const rotationAnnotations = {
  /** The request that was last seen through. */
  done: 'shardwright.io/rotated',
  /** The request under way, and since when. */
  under: 'shardwright.io/rotating',
  since: 'shardwright.io/rotating-since',
} as const;

export interface PasswordFacts {
  readonly internal: Fields | undefined;
  readonly app: Fields | undefined;
  readonly appAnnotations: Readonly<Record<string, string>>;
  /** What else the application's Secret must say: addresses, authorities, the token's companions. */
  readonly published: Fields;
  /** Value of the annotation shardwright.io/rotate. */
  readonly requested: string | undefined;
  /** spec.secrets.version that every shard has in force; undefined while they differ. */
  readonly versionInForce: string | undefined;
  readonly now: Date;
}

export interface PasswordPlan {
  /** Whole contents to write, absent when there is nothing to change. */
  readonly internal?: Fields;
  readonly app?: { readonly fields: Fields; readonly annotations: Readonly<Record<string, string>> };
  /** Names the verifiers in force (or to be): goes into every Shard's spec. */
  readonly version: string;
  readonly rotating: boolean;
  /** When the next step is due without any event. */
  readonly againMs?: number;
}

export function decidePasswords(facts: PasswordFacts, random: RandomBytes): PasswordPlan {
  const { now } = facts;
  const rotation = rotationOf(facts);
  // A login that is no longer opted for goes; everything else that is there stays.
  const { username: _username, ...kept } = facts.app ?? {};
  const app: Record<string, string> = { ...kept, ...facts.published };
  app['password'] ??= password(random);
  app['reference-password'] ??= password(random);
  app['map-token'] ??= password(random);
  const annotations: Record<string, string> = { ...rotation.annotations };

  const internal: Record<string, string> = { ...facts.internal };
  for (const name of INTERNAL_PASSWORDS) internal[name] ??= password(random);

  let againMs: number | undefined;
  if (rotation.kind === 'Begin') {
    // The operator's own passwords need no overlap: members read them from the Secret and set them themselves.
    for (const name of INTERNAL_PASSWORDS) internal[name] = password(random);
    app['next-password'] = password(random);
    app['next-reference-password'] = password(random);
    annotations[rotationAnnotations.under] = rotation.token;
    annotations[rotationAnnotations.since] = now.toISOString();
    againMs = DISTRIBUTION_MS;
  }
  const elapsed = rotation.kind === 'Under' ? now.getTime() - rotation.since : 0;
  const distributed = rotation.kind === 'Under' && elapsed >= DISTRIBUTION_MS;
  if (rotation.kind === 'Under' && !distributed) againMs = DISTRIBUTION_MS - elapsed;

  const wanted = distributed
    ? {
        app: app['next-password'] ?? app['password'],
        reference: app['next-reference-password'] ?? app['reference-password'],
      }
    : { app: app['password'], reference: app['reference-password'] };
  keepVerifier(internal, 'app-verifier', wanted.app, random);
  keepVerifier(internal, 'reference-verifier', wanted.reference, random);
  const version = verifierVersion(internal);

  if (
    distributed &&
    facts.internal?.['app-verifier'] === internal['app-verifier'] &&
    facts.versionInForce === version
  ) {
    app['password'] = wanted.app;
    app['reference-password'] = wanted.reference;
    delete app['next-password'];
    delete app['next-reference-password'];
    annotations[rotationAnnotations.done] = rotation.token;
    delete annotations[rotationAnnotations.under];
    delete annotations[rotationAnnotations.since];
  }
  return {
    ...(same(facts.internal, internal) ? {} : { internal }),
    ...(same(facts.app, app) && same(facts.appAnnotations, annotations)
      ? {}
      : { app: { fields: app, annotations } }),
    version,
    rotating: annotations[rotationAnnotations.under] !== undefined,
    ...(againMs === undefined ? {} : { againMs }),
  };
}

type Rotation =
  | { readonly kind: 'None'; readonly annotations: Fields }
  | { readonly kind: 'Begin'; readonly token: string; readonly annotations: Fields }
  | { readonly kind: 'Under'; readonly token: string; readonly since: number; readonly annotations: Fields };

function rotationOf({ app, appAnnotations, requested }: PasswordFacts): Rotation {
  const annotations = Object.fromEntries(
    Object.values(rotationAnnotations).flatMap(name => {
      const value = appAnnotations[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const under = annotations[rotationAnnotations.under];
  // A request that came while one is under way is seen through next: its token differs from the one done.
  if (under !== undefined && app?.['next-password'] !== undefined) {
    const since = Date.parse(annotations[rotationAnnotations.since] ?? '');
    return { kind: 'Under', token: under, since: Number.isNaN(since) ? 0 : since, annotations };
  }
  if (requested === undefined || requested === annotations[rotationAnnotations.done])
    return { kind: 'None', annotations };
  if (app === undefined) {
    // Fresh passwords are as new as asked for.
    return { kind: 'None', annotations: { ...annotations, [rotationAnnotations.done]: requested } };
  }
  return { kind: 'Begin', token: requested, annotations };
}

/** Keeps the verifier while it belongs to the password: a new one has a new salt and would look like a change. */
function keepVerifier(
  internal: Record<string, string>,
  field: string,
  secret: string,
  random: RandomBytes,
): void {
  const current = internal[field];
  if (current === undefined || !verifies(current, secret))
    internal[field] = scramVerifier(secret, random(16));
}

/** 32 letters, digits, - and _: 192 bits, safe in URLs, connection strings and files. */
function password(random: RandomBytes): string {
  return random(24).toString('base64url');
}

function same(left: Fields | undefined, right: Fields): boolean {
  return left !== undefined && digest(left) === digest(right);
}
