/** Writes what the decisions about the authority and the passwords say, one Secret at a time. */

import { createAuthority } from '#controllers/pki/authority.ts';
import { decideAuthority } from '#controllers/pki/rotation.ts';
import { decodeSecret, encodeFields } from '#controllers/secrets/secret-reader.ts';
import { annotations, clusterChildren, clusterLabels } from '#crds/api/names.ts';
import type { ShardCluster } from '#crds/api/shard-cluster.ts';
import { assertNever } from '#kernel/assert-never.ts';
import type { ReconcileContext } from '#kernel/controller.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Secret } from '#kernel/resources.ts';
import type { ClusterDeps } from './deps.ts';
import { decidePasswords, type Fields } from './passwords.ts';
import { ownerOf } from './project.ts';

/** On the authority's Secret: the request for a rotation that was last taken up. */
const AUTHORITY_ROTATED = 'shardwright.io/rotated-ca';

const ISSUER_RETRY_MS = 3000;

export interface SecretsResult {
  /** Goes into every Shard's spec. */
  readonly version: string;
  readonly rotating: boolean;
  readonly againMs: number | undefined;
  /** Not there, or not whole, though a running fleet depends on it. */
  readonly missing: readonly string[];
}

export interface SecretsInput {
  readonly cluster: ShardCluster;
  /** There is a map: databases may depend on what the Secrets hold, so a lost one is never made anew. */
  readonly established: boolean;
  readonly versionInForce: string | undefined;
}

export async function ensureSecrets(
  deps: ClusterDeps,
  input: SecretsInput,
  context: ReconcileContext,
): Promise<SecretsResult> {
  const { cluster, established } = input;
  const { name } = cluster.metadata;
  const caName = clusterChildren.authoritySecret(name);
  const internalName = clusterChildren.internalSecret(name);
  const read = (secret: string) => readOwn(deps, cluster, secret, context);

  const authoritySecret = await read(caName);
  const internalSecret = await read(internalName);
  const missing = [
    ...(established && !authoritySecret && !cluster.spec.tls.issuerRef ? [caName] : []),
    ...(established && !internalSecret ? [internalName] : []),
  ];
  if (missing.length > 0) return { version: '', rotating: false, againMs: undefined, missing };

  const bundle = await ensureAuthority(deps, cluster, authoritySecret, context);
  if (bundle === undefined) return { version: '', rotating: false, againMs: undefined, missing: [caName] };

  const appSecret = await read(clusterChildren.appSecret(name));
  const plan = decidePasswords(
    {
      internal: decodeSecret(internalSecret),
      app: decodeSecret(appSecret),
      appAnnotations: ownAnnotations(appSecret),
      published: published(deps, cluster, bundle),
      requested: cluster.metadata.annotations?.[annotations.rotate],
      versionInForce: input.versionInForce,
      now: deps.clock.now(),
    },
    deps.randomBytes,
  );
  const writes = [
    async () => {
      if (plan.internal) await write(deps, cluster, internalName, plan.internal, {}, internalSecret, context);
    },
    async () => {
      if (!plan.app) return;
      const { fields, annotations: marks } = plan.app;
      await write(deps, cluster, clusterChildren.appSecret(name), fields, marks, appSecret, context);
    },
  ];
  // Verifiers follow the passwords that they are for. A rotation begins the other way round: it is only under way once the
  // application's Secret says so, and is begun anew if not.
  for (const step of appSecret ? writes : writes.toReversed()) await step();
  // Secrets are not watched: what cert-manager will write has to be looked for.
  const againMs = bundle === '' ? ISSUER_RETRY_MS : plan.againMs;
  return { version: plan.version, rotating: plan.rotating, againMs, missing: [] };
}

/**
 * Leaves out what a deleted fleet of the same name has left: it may be remembered only, or still be there and on its way out.
 * Writing over it makes it this fleet's own, and garbage collection then lets it be.
 */
async function readOwn(
  deps: ClusterDeps,
  cluster: ShardCluster,
  name: string,
  { signal }: ReconcileContext,
): Promise<Secret | undefined> {
  const key = { namespace: cluster.metadata.namespace ?? '', name };
  const known = await deps.secrets.read(key, signal);
  if (!known || !isOfAnother(known, cluster)) return known;
  deps.secrets.forget(key);
  const live = await deps.secrets.read(key, signal);
  return live && !isOfAnother(live, cluster) ? live : undefined;
}

function isOfAnother(secret: Secret, { kind, metadata }: ShardCluster): boolean {
  return (
    secret.metadata.ownerReferences?.some(owner => owner.kind === kind && owner.uid !== metadata.uid) ?? false
  );
}

/** The bundle to trust; empty while cert-manager has not issued yet; undefined when it is damaged. */
async function ensureAuthority(
  deps: ClusterDeps,
  cluster: ShardCluster,
  current: Secret | undefined,
  context: ReconcileContext,
): Promise<string | undefined> {
  const fields = decodeSecret(current);
  if (cluster.spec.tls.issuerRef) {
    await deps.applier.apply(authorityRequest(cluster), { signal: context.signal });
    return fields?.['ca.crt'] ?? '';
  }
  const { name } = cluster.metadata;
  const secretName = clusterChildren.authoritySecret(name);
  const requested = cluster.metadata.annotations?.[annotations.rotateAuthority];
  const done = current?.metadata.annotations?.[AUTHORITY_ROTATED];
  const now = deps.clock.now();
  const step = decideAuthority(
    fields,
    now,
    fields !== undefined && requested !== undefined && requested !== done,
  );
  const marks: Fields = done === undefined ? {} : { [AUTHORITY_ROTATED]: done };
  const put = (next: Fields, more: Fields = marks) =>
    write(deps, cluster, secretName, next, more, current, context);
  switch (step.kind) {
    case 'Keep':
      return fields?.['ca.crt'] ?? '';
    case 'Damaged':
      return undefined;
    case 'Create': {
      const pair = await createAuthority(name, now);
      await put(
        { 'ca.crt': pair.certificate, 'ca.key': pair.key },
        requested === undefined ? {} : { [AUTHORITY_ROTATED]: requested },
      );
      return pair.certificate;
    }
    case 'AddNext': {
      const pair = await createAuthority(name, now);
      const bundle = `${fields?.['ca.crt'] ?? ''}${pair.certificate}`;
      await put(
        { 'ca.crt': bundle, 'ca.key': fields?.['ca.key'] ?? '', 'next.key': pair.key },
        requested === undefined ? marks : { [AUTHORITY_ROTATED]: requested },
      );
      return bundle;
    }
    case 'Promote':
      await put({ 'ca.crt': step.bundle, 'ca.key': step.key });
      return step.bundle;
    case 'DropOld':
      await put({ 'ca.crt': step.bundle, 'ca.key': fields?.['ca.key'] ?? '' });
      return step.bundle;
    default:
      return assertNever(step);
  }
}

async function write(
  deps: ClusterDeps,
  cluster: ShardCluster,
  name: string,
  fields: Fields,
  marks: Fields,
  live: Secret | undefined,
  { signal, log }: ReconcileContext,
): Promise<void> {
  const { namespace } = cluster.metadata;
  log.info({ object: name, fields: Object.keys(fields) }, 'writing a Secret');
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'Opaque',
    metadata: {
      name,
      ...(namespace ? { namespace } : {}),
      labels: clusterLabels(cluster.metadata.name),
      annotations: { ...marks },
      ownerReferences: [ownerOf(cluster)],
    },
    data: encodeFields(fields),
  };
  const { object } = await deps.applier.apply(secret, { signal, live: live ?? null });
  deps.secrets.keep(object);
}

function published(deps: ClusterDeps, cluster: ShardCluster, bundle: string): Fields {
  const { name, namespace } = cluster.metadata;
  const { engine, access } = cluster.spec;
  return {
    database: engine.database,
    'ca.crt': bundle,
    'map-url': `${deps.mapService.url}/v1/maps/${namespace ?? ''}/${name}`,
    'map-ca.crt': deps.mapService.ca(),
    ...(access.stableLogin ? { username: 'app' } : {}),
  };
}

function ownAnnotations(secret: Secret | undefined): Fields {
  return Object.fromEntries(
    Object.entries(secret?.metadata.annotations ?? {}).filter(
      ([name]) => name.startsWith('shardwright.io/') && !name.startsWith('shardwright.io/applied-by-'),
    ),
  );
}

/** A certificate that nobody serves: cert-manager puts the issuer's own certificate beside it, and that is wanted. */
function authorityRequest(cluster: ShardCluster): KubeObject {
  const { name, namespace } = cluster.metadata;
  const secretName = clusterChildren.authoritySecret(name);
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {
      name: secretName,
      ...(namespace ? { namespace } : {}),
      labels: clusterLabels(name),
      ownerReferences: [ownerOf(cluster)],
    },
    spec: {
      secretName,
      commonName: `${name} clients`.slice(0, 64),
      privateKey: { algorithm: 'ECDSA', size: 256 },
      usages: ['digital signature', 'client auth'],
      issuerRef: { ...cluster.spec.tls.issuerRef },
    },
  };
}
