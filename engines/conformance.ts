/**
 * What every engine must do, as tests. An engine's own test hands in how to make a shard, how to start a database and how its
 * clients look; what is asked of it is the same for all.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Shard, ShardSpec } from '#crds/api/shard.ts';
import type {
  AccessInput,
  ConnectTarget,
  DeclaredTable,
  Engine,
  RenderContext,
  SchemaFile,
  ShardSession,
} from './engine.ts';
import { BroadcastGapError, ReferenceTableError, SchemaError, UnreachableError } from './errors.ts';

export interface EngineFixture {
  readonly engine: Engine;
  /** A valid Shard `social-0` in the namespace `fleet`, with these fields of its spec. */
  shard(spec?: Partial<ShardSpec>): Shard;
}

/** A client as an application has it. Every method throws what the database says. */
export interface ApplicationClient extends AsyncDisposable {
  /** Adds a row to the sharded table `users`. */
  addUser(id: number): Promise<void>;
  countUsers(): Promise<number>;
  /** Names in the reference table `countries`, in the order of their codes. */
  countryNames(): Promise<readonly string[]>;
  /** Writes the reference table as a plain statement, which must never work. */
  addCountry(code: string): Promise<void>;
  /** Through the engine's broadcast. Returns the version. */
  broadcastCountry(code: string, name: string): Promise<bigint>;
}

export interface RunningDatabase extends AsyncDisposable {
  readonly target: ConnectTarget;
  /** A login's client; throws when the login is refused. */
  client(login: string, password: string): Promise<ApplicationClient>;
}

export interface SessionFixture extends EngineFixture {
  start(): Promise<RunningDatabase>;
  verifier(password: string): string;
  /** What a client meets: a login that is closed or gone, a session that the operator ended, a missing right. */
  readonly messages: { readonly refusedLogin: RegExp; readonly ended: RegExp; readonly denied: RegExp };
  readonly logins: {
    writer(generation: number): string;
    reader(generation: number): string;
    readonly reference: string;
    readonly stable: string;
  };
  readonly files: {
    /** Makes `users` and `countries`. */
    readonly tables: SchemaFile;
    /** Fails on its third line. */
    readonly broken: SchemaFile;
    readonly corrected: SchemaFile;
  };
}

const context: RenderContext = {
  image: 'registry.example/database:1',
  imagePullPolicy: 'IfNotPresent',
  operator: { namespace: 'shardwright', labels: { app: 'operator' } },
};

const tables: readonly DeclaredTable[] = [
  { name: 'users', reference: false },
  { name: 'countries', reference: true },
];

export function describeRendering(fixture: EngineFixture): void {
  const { engine } = fixture;
  const shard = (spec?: Partial<ShardSpec>) => fixture.shard(spec);
  describe(`rendering of ${engine.type}`, () => {
    test('names every object once, in the namespace of its shard, with the labels of its shard', () => {
      const objects = engine.render(shard(), context);
      const keys = objects.map(object => `${object.kind}/${object.metadata.name}`);
      expect(new Set(keys).size).toBe(keys.length);
      for (const { metadata } of objects) {
        expect(metadata.namespace).toBe('fleet');
        expect(metadata.labels).toMatchObject({
          'shardwright.io/cluster': 'social',
          'shardwright.io/shard': 'social-0',
        });
        expect(metadata.name).toMatch(/^social-0(-[a-z]+)?$/);
      }
    });

    test('is the same text for the same shard', () => {
      const [once, again] = [shard(), shard()].map(one => JSON.stringify(engine.render(one, context)));
      expect(once).toBe(again);
    });

    test('asks for the members that the shard has, with its image', () => {
      const set = engine.render(shard({ members: 3 }), context).find(object => object.kind === 'StatefulSet');
      expect(set).toMatchObject({ spec: { replicas: 3, updateStrategy: { type: 'OnDelete' } } });
      expect(JSON.stringify(set)).toContain('registry.example/database:1');
      const own = engine.render(shard({ image: 'registry.example/mine:2' }), context);
      expect(JSON.stringify(own)).not.toContain('registry.example/database:1');
    });

    test('holds no secret: those are only named', () => {
      const objects = engine.render(shard(), context);
      expect(objects.filter(object => object.kind === 'Secret')).toEqual([]);
    });

    test('runs pods under the restricted Pod Security Standard', () => {
      const set = engine.render(shard(), context).find(object => object.kind === 'StatefulSet');
      const pod = podTemplate.parse(set).spec.template.spec;
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod.containers.length).toBeGreaterThan(0);
      for (const container of pod.containers) {
        expect(container.securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
    });

    test('keeps a member in its region', () => {
      const placed = engine.render(shard({ region: 'eu-west' }), context);
      expect(JSON.stringify(placed)).toContain('"eu-west"');
    });

    test('gives certificates names that are unique and begin with the one that is checked', () => {
      const names = engine.serverNames(shard());
      expect(names[0]).toBe('social-0.fleet.svc');
      expect(new Set(names).size).toBe(names.length);
    });

    test('sees no member, no lock to free and nothing to fear in an empty namespace', () => {
      const nothing = { pods: [], endpoints: [] };
      expect(engine.members(shard(), nothing)).toEqual([]);
      expect(engine.releaseDeadLeader(shard(), nothing, [])).toBeUndefined();
    });
  });
}

const podTemplate = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        securityContext: z.unknown(),
        containers: z.array(z.object({ securityContext: z.unknown() })),
      }),
    }),
  }),
});

/** Runs against one database, whose state the tests hand on from one to the next, in the order written. */
export function describeSession(fixture: SessionFixture): void {
  const { engine, logins, files } = fixture;
  const shard = fixture.shard();
  describe(`session of ${engine.type}`, () => {
    let database: RunningDatabase;
    let session: ShardSession;
    const verifier = fixture.verifier('app-secret');
    const referenceVerifier = fixture.verifier('ref-secret');
    const access = (changes: Partial<AccessInput> = {}): AccessInput => ({
      generation: 1,
      readerGeneration: 1,
      state: 'active',
      partition: { kind: 'slots', slots: 256, ranges: [{ first: 0, last: 255 }] },
      tables,
      verifier,
      referenceVerifier,
      stableLogin: false,
      ...changes,
    });
    const as = (login: string) =>
      database.client(login, login === logins.reference ? 'ref-secret' : 'app-secret');
    const { refusedLogin, ended, denied: deniedMessage } = fixture.messages;
    const denied = (work: Promise<unknown>) => expect(work).rejects.toThrow(deniedMessage);

    beforeAll(async () => {
      database = await fixture.start();
      session = await engine.connect(shard, database.target, AbortSignal.timeout(120_000));
    });
    afterAll(async () => {
      await session?.[Symbol.asyncDispose]();
      await database?.[Symbol.asyncDispose]();
    });

    test('refuses a wrong password as unreachable', async () => {
      const wrong = { ...database.target, passwords: { superuser: 'wrong', rest: 'wrong' } };
      await expect(engine.connect(shard, wrong, AbortSignal.timeout(10_000))).rejects.toBeInstanceOf(
        UnreachableError,
      );
    });

    test('makes access, and changes nothing when asked again', async () => {
      expect(await session.ensureAccess(access())).not.toEqual([]);
      expect(await session.ensureAccess(access())).toEqual([]);
    });

    test('has nothing to sweep where no primary was before, and says who does not answer', async () => {
      const nobody = { name: 'nobody', host: '127.0.0.2' };
      expect(await session.sweep([nobody])).toEqual({ changes: [], unreached: ['nobody'] });
    });

    test('applies schema files once', async () => {
      expect(await session.applySchema([files.tables])).toEqual({ applied: [files.tables.name] });
      expect(await session.applySchema([files.tables])).toEqual({ applied: [] });
      await session.ensureAccess(access());
    });

    test('stops at a file that fails, says where, and goes on once it is corrected', async () => {
      const failure = await session
        .applySchema([files.tables, files.broken])
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(SchemaError);
      expect(failure).toMatchObject({ code: 'SchemaFailed', file: files.broken.name, line: 3, applied: [] });
      expect(await session.applySchema([files.tables, files.corrected])).toEqual({
        applied: [files.corrected.name],
      });
    });

    test('refuses a file that was changed after it was applied', async () => {
      const changed = { ...files.tables, sql: `${files.tables.sql}\n` };
      await expect(session.applySchema([changed])).rejects.toMatchObject({ code: 'SchemaChanged' });
    });

    test('lets writers write and readers read', async () => {
      await session.ensureAccess(access());
      await using writer = await as(logins.writer(1));
      await using reader = await as(logins.reader(1));
      await writer.addUser(1);
      expect(await reader.countUsers()).toBe(1);
      await denied(reader.addUser(2));
    });

    test('lets applications read reference tables, and only a broadcast write them', async () => {
      await using writer = await as(logins.writer(1));
      await using reference = await as(logins.reference);
      await denied(writer.addCountry('de'));
      await denied(reference.addCountry('de'));
      await denied(writer.broadcastCountry('de', 'Germany'));
      expect(await reference.broadcastCountry('de', 'Germany')).toBe(1n);
      expect(await reference.broadcastCountry('fr', 'France')).toBe(2n);
      expect(await writer.countryNames()).toEqual(['Germany', 'France']);
    });

    test('hands on broadcasts in order, once', async () => {
      expect(await session.referenceVersion()).toBe(2n);
      const log = await session.broadcastsSince(0n, 10);
      expect(log.map(entry => entry.version)).toEqual([1n, 2n]);
      expect(await session.broadcastsSince(1n, 10)).toEqual(log.slice(1));
      for (const entry of log) await session.applyBroadcast(entry);
      expect(await session.referenceVersion()).toBe(2n);
      const later = { version: 4n, table: 'countries', change: { upsert: [{ code: 'it', name: 'Italy' }] } };
      await expect(session.applyBroadcast(later)).rejects.toBeInstanceOf(BroadcastGapError);
      const elsewhere = { version: 3n, table: 'nowhere', change: { delete: [{ code: 'fr' }] } };
      await expect(session.applyBroadcast(elsewhere)).rejects.toBeInstanceOf(ReferenceTableError);
      await session.applyBroadcast({ ...later, version: 3n });
      await session.applyBroadcast({ version: 4n, table: 'countries', change: { delete: [{ code: 'fr' }] } });
      await using reader = await as(logins.reader(1));
      expect(await reader.countryNames()).toEqual(['Germany', 'Italy']);
    });

    test('takes writing from writers while readonly, and everything in maintenance', async () => {
      await using writer = await as(logins.writer(1));
      await session.ensureAccess(access({ state: 'readonly' }));
      await denied(writer.addUser(3));
      expect(await writer.countUsers()).toBe(1);
      await session.ensureAccess(access({ state: 'maintenance' }));
      await denied(writer.countUsers());
      await session.ensureAccess(access());
      await writer.addUser(3);
    });

    test('fences the generation before', async () => {
      const stale = await as(logins.writer(1));
      const reader = await as(logins.reader(1));
      await session.ensureAccess(access({ generation: 2 }));
      await expect(stale.addUser(4)).rejects.toThrow(ended);
      await expect(as(logins.writer(1))).rejects.toThrow(refusedLogin);
      expect(await reader.countUsers()).toBe(2);
      await session.ensureAccess(access({ generation: 2, readerGeneration: 2 }));
      await expect(reader.countUsers()).rejects.toThrow(ended);
      await using current = await as(logins.writer(2));
      await current.addUser(4);
      expect(await current.countUsers()).toBe(3);
    });

    test('has a login that never changes only where it is asked for', async () => {
      await expect(as(logins.stable)).rejects.toThrow(refusedLogin);
      await session.ensureAccess(access({ generation: 2, readerGeneration: 2, stableLogin: true }));
      await using stable = await as(logins.stable);
      await stable.addUser(5);
      await session.ensureAccess(access({ generation: 2, readerGeneration: 2 }));
      await expect(as(logins.stable)).rejects.toThrow(refusedLogin);
    });

    test('takes a new password', async () => {
      const next = fixture.verifier('next-secret');
      await session.ensureAccess(access({ generation: 2, readerGeneration: 2, verifier: next }));
      await expect(as(logins.writer(2))).rejects.toThrow(refusedLogin);
      await using writer = await database.client(logins.writer(2), 'next-secret');
      await writer.addUser(6);
    });

    test('tells the size and the lags', async () => {
      const { sizeBytes, lagBytes } = await session.statistics();
      expect(sizeBytes).toBeGreaterThan(0);
      expect(lagBytes).toEqual({});
    });
  });
}
