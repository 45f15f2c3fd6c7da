/** Opens the byte streams that everything else runs over. */
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import type { Dial } from './options.ts';

/** Straight over the network, as inside the cluster. */
export const dialDirectly: Dial = (endpoint, signal) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = connect({ host: endpoint.host, port: endpoint.port, noDelay: true, keepAlive: true });
    const aborted = () => socket.destroy(asError(signal.reason));
    const settled = () => {
      signal.removeEventListener('abort', aborted);
      socket.removeAllListeners('error');
    };
    signal.addEventListener('abort', aborted);
    socket.once('connect', () => {
      settled();
      resolve(socket);
    });
    socket.once('error', error => {
      settled();
      // An abort may bring a second error; nobody waits for it.
      socket.on('error', () => undefined);
      reject(error);
    });
  });

/** Parsed authorities: reading one takes as long as the rest of a handshake. A rotation leaves one behind, no more. */
const contexts = new Map<string, SecureContext>();
const contextsKept = 8;

/** What makes a TLS connection trust this authority alone, or the system's if there is none. */
export function trusting(ca: string | undefined): { readonly secureContext?: SecureContext } {
  if (ca === undefined) return {};
  let secureContext = contexts.get(ca);
  if (secureContext === undefined) {
    secureContext = createSecureContext({ ca });
    if (contexts.size >= contextsKept) contexts.clear();
    contexts.set(ca, secureContext);
  }
  return { secureContext };
}

/** TLS inside a stream that is connected. Always verifies the far side, by `host`. */
export function secure(stream: Duplex, host: string, ca: string | undefined): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: stream,
      host,
      servername: host,
      ...trusting(ca),
    });
    socket.once('secureConnect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/**
 * The driver wants to connect a socket itself. Gives it a stream that is connected already and plays the socket's part.
 */
export function asUnconnectedSocket(stream: Duplex): Duplex {
  return Object.assign(stream, {
    connect(this: Duplex): Duplex {
      process.nextTick(() => this.emit('connect'));
      return this;
    },
    setNoDelay(this: Duplex): Duplex {
      return this;
    },
    setKeepAlive(this: Duplex): Duplex {
      return this;
    },
    ref(this: Duplex): Duplex {
      return this;
    },
    unref(this: Duplex): Duplex {
      return this;
    },
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
