/** Docker as tests of backups call it. Names begin with `bk-`. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Standard output (with `both`, errors too), without its last newline. Throws with what the program said. */
export function docker(args: readonly string[], input = '', both = false): Promise<string> {
  const child = spawn('docker', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => {
      if (code === 0) resolve((both ? out + err : out).replace(/\n$/, ''));
      else reject(new Error(`docker ${args.slice(0, 3).join(' ')}: code ${code}: ${err}${out}`));
    });
  });
}

/** Asks until the answer is not undefined. Throws, with `explain`, after `withinMs`. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  withinMs = 30_000,
  explain: () => Promise<string> = async () => '',
): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + withinMs; Date.now() < deadline; await sleep(100)) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`not within ${withinMs} ms: ${await explain()}`, { cause: last });
}
