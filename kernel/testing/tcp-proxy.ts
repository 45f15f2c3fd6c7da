/** A TCP relay on loopback for tests of broken networks: it can cut connections, or leave them open and carry nothing. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #refusing = false;
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async to(target: URL): Promise<TcpProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    const proxy = new TcpProxy(server, address.port);
    const { hostname, port } = target;
    server.on('connection', client => proxy.#relay(client, hostname, Number(port)));
    return proxy;
  }

  /** Breaks all connections, and refuses new ones until {@link open}. */
  cut(): void {
    this.#refusing = true;
    for (const [client, upstream] of this.#pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  open(): void {
    this.#refusing = false;
  }

  /** From now on the connections that are open carry nothing more, in either direction. New ones work. */
  silence(): void {
    for (const [client, upstream] of this.#pairs) {
      client.unpipe(upstream);
      upstream.unpipe(client);
      client.pause();
      upstream.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket, host: string, port: number): void {
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    this.accepted++;
    const upstream = connect(port, host);
    const pair = [client, upstream] as const;
    this.#pairs.add(pair);
    const end = () => {
      client.destroy();
      upstream.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    client.pipe(upstream).pipe(client);
  }
}
