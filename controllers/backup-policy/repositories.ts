/**
 * Where the backups of each shard go: the destination for its region, with what the Secrets hold that it names. They are read
 * by name; what is missing or has a wrong form is told in words.
 */
import { decodeSecret, type SecretReader } from '#controllers/secrets/secret-reader.ts';
import type { BackupDestination } from '#crds/api/backup/destination.ts';
import type { Shard } from '#crds/api/shard.ts';
import type { Repository } from '#engines/backup.ts';
import { digest } from '#kernel/canonical.ts';
import type { KubeObject } from '#kernel/object.ts';
import type { Problem } from './facts.ts';

/** A destination with its Secrets read. */
export interface OpenDestination {
  readonly destination: BackupDestination;
  /** Undefined while a Secret is not as it must be. */
  readonly secrets: DestinationSecrets | undefined;
}

interface DestinationSecrets {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly ca?: string;
  readonly passphrase?: string;
}

export interface OpenDestinations {
  readonly destinations: readonly OpenDestination[];
  readonly problems: readonly Problem[];
}

/** Throws KubeError; ForbiddenError where the namespace is not enabled. */
export async function openDestinations(
  reader: Pick<SecretReader, 'read'>,
  namespace: string,
  destinations: readonly BackupDestination[],
  signal: AbortSignal,
): Promise<OpenDestinations> {
  const problems: Problem[] = [];
  const opened: OpenDestination[] = [];
  const complain = (reason: string, message: string): undefined => {
    if (!problems.some(problem => problem.message === message))
      problems.push({ reason, message, plan: false });
  };
  const field = async (name: string, key: string): Promise<string | undefined> => {
    const fields = decodeSecret(await reader.read({ namespace, name }, signal));
    if (!fields)
      return complain('SecretMissing', `Secret ${name} is missing: make it in namespace ${namespace}`);
    const value = fields[key]?.trim() ?? '';
    return value === '' ? complain('SecretIncomplete', `Secret ${name} has no ${key}: add it`) : value;
  };
  const line = async (name: string, key: string): Promise<string | undefined> => {
    const value = await field(name, key);
    if (value === undefined || /^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(value)) return value;
    return complain('SecretMalformed', `Secret ${name}: ${key} is not one line of printable characters`);
  };
  const certificates = async (name: string, key: string): Promise<string | undefined> => {
    const value = await field(name, key);
    if (value === undefined || value.includes('-----BEGIN CERTIFICATE-----')) return value;
    return complain('SecretMalformed', `Secret ${name}: ${key} holds no certificate in PEM`);
  };
  for (const destination of destinations) {
    const { s3, encryption } = destination;
    const accessKeyId = await line(s3.credentials.secretName, 'access-key-id');
    const secretAccessKey = await line(s3.credentials.secretName, 'secret-access-key');
    const ca = s3.ca && (await certificates(s3.ca.secretName, s3.ca.key));
    const passphrase = encryption && (await line(encryption.secretName, 'passphrase'));
    const whole =
      accessKeyId !== undefined &&
      secretAccessKey !== undefined &&
      (!s3.ca || ca !== undefined) &&
      (!encryption || passphrase !== undefined);
    opened.push({
      destination,
      secrets: whole
        ? {
            accessKeyId,
            secretAccessKey,
            ...(ca === undefined ? {} : { ca: `${ca}\n` }),
            ...(passphrase === undefined ? {} : { passphrase }),
          }
        : undefined,
    });
  }
  return { destinations: opened, problems };
}

/** That of the shard's region, or the one for all others. */
export function destinationOf(
  shard: Shard,
  destinations: readonly OpenDestination[],
): OpenDestination | undefined {
  const { region } = shard.spec;
  return (
    destinations.find(each => region !== undefined && each.destination.region === region) ??
    destinations.find(each => each.destination.region === undefined)
  );
}

/** A fleet that is made again under its old name gets a path of its own. */
export function repositoryPath(prefix: string, cluster: KubeObject): string {
  const { namespace = '', name, uid = '' } = cluster.metadata;
  return [...prefix.split('/').filter(part => part !== ''), namespace, name, uid.slice(0, 8)].join('/');
}

/** Names where backups go, without telling of any secret. */
export function placeOf(shard: Shard, cluster: KubeObject, { s3 }: BackupDestination): string {
  const { endpoint, bucket, region, prefix } = s3;
  return digest([endpoint, bucket, region, repositoryPath(prefix, cluster), shard.metadata.name]);
}

export function repositoryOf(
  shard: Shard,
  cluster: KubeObject,
  { destination, secrets }: OpenDestination,
): Repository | undefined {
  if (!secrets) return undefined;
  const { endpoint, bucket, region, prefix } = destination.s3;
  const { passphrase, ...keys } = secrets;
  return {
    path: repositoryPath(prefix, cluster),
    stanza: shard.metadata.name,
    s3: { ...(endpoint === undefined ? {} : { endpoint }), bucket, region, ...keys },
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}
