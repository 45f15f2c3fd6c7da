/**
 * One process at a time does a piece of set-up; others wait for it and then find it done. The holder touches its lock
 * every few seconds, so that one left by a process that was killed, or by an earlier boot, is taken over.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheDir } from '#hack/paths.ts';
import { say } from '#hack/progress.ts';
import { SetupError } from '#hack/setup-error.ts';

const touchEveryMs = 3_000;
const staleAfterMs = 20_000;
const tellAfterMs = 2_000;
const giveUpAfterMs = 30 * 60_000;

/** Not re-entrant. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = join(cacheDir, 'locks', name);
  await mkdir(join(cacheDir, 'locks'), { recursive: true });
  const started = Date.now();
  let told = false;
  while (!(await take(path))) {
    if (Date.now() - started > giveUpAfterMs) {
      throw new SetupError('Locked', `another process holds ${path}`, `end it, or remove ${path}`);
    }
    if (!told && Date.now() - started > tellAfterMs) {
      told = true;
      say(`waiting for another process that is busy with: ${name}`);
    }
    await sleep(300);
  }
  const touching = setInterval(() => {
    const time = new Date();
    utimes(path, time, time).catch(() => undefined);
  }, touchEveryMs).unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await rm(path, { recursive: true, force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    await writeFile(join(path, 'pid'), String(process.pid));
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const held = await stat(path).catch(() => undefined);
  if (!held) return false;
  if (Date.now() - held.mtimeMs < staleAfterMs && (await holderLives(path))) return false;
  // Renaming is atomic: of several that find the lock stale, one moves it away.
  const grave = `${path}.${randomUUID()}`;
  await rename(path, grave).catch(() => undefined);
  await rm(grave, { recursive: true, force: true });
  return false;
}

async function holderLives(path: string): Promise<boolean> {
  const pid = Number(await readFile(join(path, 'pid'), 'utf8').catch(() => '0'));
  // Between making the folder and writing the number the holder is alive but nameless.
  if (!Number.isInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
