/** Asks a server to cancel what a session is running. The server answers by closing; whether it helped shows elsewhere. */
import type { Duplex } from 'node:stream';
import type { Clock } from './clock.ts';
import { secure } from './dial.ts';
import type { Dial, Endpoint } from './options.ts';

export interface CancelOptions {
  readonly endpoint: Endpoint;
  readonly dial: Dial;
  readonly tls: { readonly ca: string | undefined } | undefined;
  readonly key: { readonly processId: number; readonly secret: number };
  readonly clock: Clock;
  readonly timeoutMs: number;
}

const sslRequestCode = 80_877_103;
const cancelRequestCode = 80_877_102;

export async function cancelRunning(options: CancelOptions): Promise<void> {
  const abort = new AbortController();
  const timer = options.clock.after(options.timeoutMs, () =>
    abort.abort(new Error('the cancel took too long')),
  );
  let stream: Duplex | undefined;
  try {
    stream = await options.dial(options.endpoint, abort.signal);
    const plain = stream;
    plain.on('error', () => undefined);
    abort.signal.addEventListener('abort', () => plain.destroy(), { once: true });
    if (options.tls !== undefined) stream = await upgrade(plain, options.endpoint.host, options.tls.ca);
    const message = Buffer.alloc(16);
    message.writeInt32BE(16, 0);
    message.writeInt32BE(cancelRequestCode, 4);
    message.writeInt32BE(options.key.processId, 8);
    message.writeInt32BE(options.key.secret, 12);
    stream.end(message);
    stream.resume();
    await new Promise<void>(resolve => plain.once('close', resolve));
  } finally {
    timer[Symbol.dispose]();
    stream?.destroy();
  }
}

async function upgrade(stream: Duplex, host: string, ca: string | undefined): Promise<Duplex> {
  const request = Buffer.alloc(8);
  request.writeInt32BE(8, 0);
  request.writeInt32BE(sslRequestCode, 4);
  stream.write(request);
  const [answer] = await new Promise<[Buffer]>((resolve, reject) => {
    stream.once('data', (chunk: Buffer) => resolve([chunk]));
    stream.once('close', () => reject(new Error('closed before TLS')));
  });
  stream.pause();
  if (answer.toString('latin1') !== 'S') throw new Error('the server does not speak TLS');
  const socket = await secure(stream, host, ca);
  socket.on('error', () => undefined);
  return socket;
}
