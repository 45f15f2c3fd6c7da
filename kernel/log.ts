/**
 * JSON lines on stdout by pino. Fields that may carry a secret are replaced before they are written, wherever the name
 * appears up to three levels deep. Messages say what is about to be done ("applying StatefulSet"); who and which go in fields.
 */
import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino';
import { KubeError } from '#kernel/errors.ts';

/** The part of a logger that the kernel and the controllers use. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const secretNames = [
  'authorization',
  'password',
  'passwd',
  'secret',
  'token',
  'stringData',
  'privateKey',
  '["tls.key"]',
  '["ca.key"]',
  'verifier',
  'connectionString',
];

export function createLog(options: {
  readonly level: LogLevel;
  readonly name: string;
  readonly destination?: DestinationStream;
}): Log {
  const settings = {
    level: options.level,
    base: { name: options.name },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: serializeError },
    redact: {
      paths: secretNames.flatMap(name => {
        const step = name.startsWith('[') ? name : `.${name}`;
        return [step.replace(/^\./, ''), `*${step}`, `*.*${step}`];
      }),
      censor: '[redacted]',
    },
  };
  return within(options.destination ? pino(settings, options.destination) : pino(settings), {});
}

/** Carries fields until a line is written. A child of pino's looks for secrets in them at once, for every reconcile anew. */
function within(log: Logger, fields: object): Log {
  return {
    debug: (more, message) => log.isLevelEnabled('debug') && log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
    child: more => within(log, { ...fields, ...more }),
  };
}

/** Errors with their code and what to do; without fields that libraries hang on them, such as a whole request. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  const code = 'code' in error ? error.code : undefined;
  const remedy = 'remedy' in error ? error.remedy : undefined;
  const causes = error instanceof KubeError && 'causes' in error ? error.causes : undefined;
  return { type, code, message, remedy, causes, stack };
}

/** Writes nothing: for tests and tools. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
