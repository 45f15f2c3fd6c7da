/** Where a shard's primary is reached and with what: from the members that the cluster's objects show and the fleet's Secrets. */
import { decodeSecret, type SecretReader } from '#controllers/secrets/secret-reader.ts';
import { verifierVersion } from '#controllers/secrets/verifier-version.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { ConnectTarget, MemberFacts } from '#engines/engine.ts';

/** The fleet's Secrets are not all there yet, or not whole: the ShardCluster controller is about to write them. */
export class CredentialsMissingError extends Error {
  override readonly name = 'CredentialsMissingError';
  readonly code = 'CredentialsMissing';
  readonly remedy = 'None is needed at first; if it stays, look at the conditions of the ShardCluster.';
}

export interface Connection {
  readonly target: ConnectTarget;
  /** Of the application's logins, as the Shard is to have them. */
  readonly verifiers: { readonly app: string; readonly reference: string };
}

/** Undefined while no member could be connected to. */
export function reachablePrimary(members: readonly MemberFacts[]): MemberFacts | undefined {
  return members.find(member => member.role === 'primary' && member.ready && member.podIP !== undefined);
}

/** Throws CredentialsMissingError, KubeError. */
export async function connection(
  reader: SecretReader,
  shard: Shard,
  primary: MemberFacts,
  signal: AbortSignal,
): Promise<Connection> {
  const namespace = shard.metadata.namespace ?? '';
  const { secrets } = shard.spec;
  const authority = decodeSecret(await reader.read({ namespace, name: secrets.ca }, signal))?.['ca.crt'];
  const internal = { namespace, name: secrets.internal };
  let fields = decodeSecret(await reader.read(internal, signal)) ?? {};
  if (verifierVersion(fields) !== secrets.version) {
    // What is remembered may be older than what the Shard was told of.
    reader.forget(internal);
    fields = decodeSecret(await reader.read(internal, signal)) ?? {};
  }
  const { superuser, rest, 'app-verifier': app, 'reference-verifier': reference } = fields;
  const whole = superuser && rest && app && reference && verifierVersion(fields) === secrets.version;
  if (!authority || !whole || !primary.podIP) {
    throw new CredentialsMissingError(
      `Secrets ${secrets.ca} and ${secrets.internal} of namespace ${namespace} are not what Shard ${shard.metadata.name} was told of`,
    );
  }
  return {
    target: {
      primary: { name: primary.name, host: primary.podIP },
      ca: authority,
      passwords: { superuser, rest },
    },
    verifiers: { app, reference },
  };
}
