/**
 * The program's configuration: environment variables, parsed at the border. A mistake ends the program with a line that says
 * which variable to change.
 */
import { z } from 'zod';

const port = z.coerce.number().int().min(0).max(65_535);
const workers = z.coerce.number().int().min(1).max(256);

const labelsJson = z.string().transform((text, context): Record<string, string> => {
  try {
    return z.record(z.string(), z.string()).parse(JSON.parse(text));
  } catch {
    context.addIssue({ code: 'custom', message: 'must be a JSON object of strings' });
    return z.NEVER;
  }
});

const namesJson = z.string().transform((text, context): readonly string[] => {
  try {
    return z.array(z.string().min(1)).parse(JSON.parse(text));
  } catch {
    context.addIssue({ code: 'custom', message: 'must be a JSON array of names' });
    return z.NEVER;
  }
});

const environment = z.object({
  POD_NAME: z.string().min(1).default('local'),
  POD_NAMESPACE: z.string().min(1).default('default'),
  /** Labels of the operator's pods, as JSON: whom the shards' NetworkPolicies let in. */
  POD_LABELS: labelsJson.default({ 'app.kubernetes.io/name': 'shardwright' }),
  /** Service in front of the operator's pods; also the name of the Lease and, with `-map-tls`, of the map's certificate. */
  SERVICE_NAME: z.string().min(1).max(50).default('shardwright'),
  MAP_SERVICE_PORT: port.default(443),
  POSTGRES_IMAGE: z.string().min(1).default('shardwright/postgres:0.1.0'),
  POSTGRES_IMAGE_PULL_POLICY: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  /** Of this program itself: Jobs that archive old rows run beside it in the same image. */
  OPERATOR_IMAGE: z.string().min(1).default('shardwright/operator:0.1.0'),
  OPERATOR_IMAGE_PULL_POLICY: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  /** Names of Secrets with registry credentials for them, as a JSON array; they are looked for in the namespaces of the fleets. */
  OPERATOR_IMAGE_PULL_SECRETS: namesJson.default([]),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
  CONCURRENCY_SHARD_CLUSTERS: workers.default(4),
  CONCURRENCY_SHARDS: workers.default(32),
  CONCURRENCY_SESSIONS: workers.default(8),
  CONCURRENCY_MIGRATIONS: workers.default(8),
  RESYNC_SECONDS: z.coerce.number().int().min(0).max(86_400).default(600),
  STATISTICS_SECONDS: z.coerce.number().int().min(0).max(86_400).default(120),
  MAP_PORT: port.default(8443),
  HTTP_PORT: port.default(8080),
  /** `false` for one replica outside a cluster. */
  LEADER_ELECTION: z.enum(['true', 'false']).default('true'),
});

export interface OperatorConfig {
  readonly podName: string;
  readonly namespace: string;
  readonly podLabels: Readonly<Record<string, string>>;
  readonly serviceName: string;
  readonly mapServicePort: number;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** The operator's own. */
  readonly operatorImage: {
    readonly image: string;
    readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
    readonly pullSecrets: readonly string[];
  };
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly workers: {
    readonly shardClusters: number;
    readonly shards: number;
    readonly sessions: number;
    readonly migrations: number;
  };
  readonly resyncMs: number;
  readonly statisticsMs: number;
  readonly mapPort: number;
  readonly httpPort: number;
  readonly leaderElection: boolean;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'InvalidConfiguration';
  readonly remedy = 'Correct the environment variables that the message names.';
}

/** Throws {@link ConfigError}. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): OperatorConfig {
  const result = environment.safeParse(env);
  if (!result.success) {
    const lines = result.error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(lines.join('; '), { cause: result.error });
  }
  const value = result.data;
  return {
    podName: value.POD_NAME,
    namespace: value.POD_NAMESPACE,
    podLabels: value.POD_LABELS,
    serviceName: value.SERVICE_NAME,
    mapServicePort: value.MAP_SERVICE_PORT,
    image: value.POSTGRES_IMAGE,
    imagePullPolicy: value.POSTGRES_IMAGE_PULL_POLICY,
    operatorImage: {
      image: value.OPERATOR_IMAGE,
      imagePullPolicy: value.OPERATOR_IMAGE_PULL_POLICY,
      pullSecrets: value.OPERATOR_IMAGE_PULL_SECRETS,
    },
    logLevel: value.LOG_LEVEL === 'trace' ? 'debug' : value.LOG_LEVEL,
    workers: {
      shardClusters: value.CONCURRENCY_SHARD_CLUSTERS,
      shards: value.CONCURRENCY_SHARDS,
      sessions: value.CONCURRENCY_SESSIONS,
      migrations: value.CONCURRENCY_MIGRATIONS,
    },
    resyncMs: value.RESYNC_SECONDS * 1000,
    statisticsMs: value.STATISTICS_SECONDS * 1000,
    mapPort: value.MAP_PORT,
    httpPort: value.HTTP_PORT,
    leaderElection: value.LEADER_ELECTION === 'true',
  };
}
