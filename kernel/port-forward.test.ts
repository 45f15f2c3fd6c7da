import { createServer, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { createPortForwardDial, PortForwardError, podBehind } from './port-forward.ts';

const service = {
  metadata: { namespace: 'team', name: 'social-0' },
  spec: {
    ports: [
      { name: 'postgresql', port: 5432 },
      { name: 'pooler', port: 6432 },
    ],
  },
};
const endpoints = {
  subsets: [
    {
      addresses: [{ ip: '10.0.0.7', targetRef: { kind: 'Pod', name: 'social-0-1' } }],
      ports: [
        { name: 'postgresql', port: 5432 },
        { name: 'pooler', port: 16432 },
      ],
    },
  ],
};

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return address.port;
}

describe('podBehind', () => {
  it('takes the leader and the port that the endpoints list under the same name', () => {
    expect(podBehind(service, endpoints, 6432)).toEqual({ pod: 'social-0-1', port: 16432 });
  });

  it('says what is missing', () => {
    expect(() => podBehind(service, endpoints, 80)).toThrow(/has no port 80/);
    expect(() => podBehind(service, { subsets: [] }, 6432)).toThrow(/no ready pod/);
  });
});

describe('a stream', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** Speaks the API server's part: two objects, and channels that begin with the port. */
  async function fakeApiServer(
    behave: (send: (channel: number, data: Buffer) => void, data: Buffer) => void,
  ) {
    const server = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(request.url?.includes('/endpoints/') ? endpoints : service));
    });
    servers.push(server);
    new WebSocketServer({ server, handleProtocols: () => 'v4.channel.k8s.io' }).on('connection', socket => {
      const send = (channel: number, data: Buffer) => socket.send(Buffer.concat([Buffer.of(channel), data]));
      send(0, Buffer.of(0x40, 0x30));
      send(1, Buffer.of(0x40, 0x30));
      socket.on('message', (message: Buffer) => {
        expect(message[0]).toBe(0);
        behave(send, message.subarray(1));
      });
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      {
        name: 'fake',
        server: `http://127.0.0.1:${portOf(server)}`,
        skipTLSVerify: true,
      },
      { name: 'nobody' },
    );
    return createPortForwardDial(config, 'team');
  }

  it('carries more bytes than any buffer holds, both ways', async () => {
    const dial = await fakeApiServer((send, data) => send(0, data));
    const stream = await dial({ host: 'social-0', port: 6432 }, AbortSignal.timeout(5000));
    const sent = Buffer.alloc(3_000_000, 'abcdefg');
    const echo: Buffer[] = [];
    let received = 0;
    const all = new Promise<void>(resolve => {
      stream.on('data', (chunk: Buffer) => {
        echo.push(chunk);
        received += chunk.length;
        if (received === sent.length) resolve();
      });
    });
    for (let at = 0; at < sent.length; at += 100_000) stream.write(sent.subarray(at, at + 100_000));
    await all;
    expect(Buffer.concat(echo).equals(sent)).toBe(true);
    stream.end();
  });

  it('fails with what the far side says on its error channel', async () => {
    const dial = await fakeApiServer(send => send(1, Buffer.from('connection refused')));
    const stream = await dial({ host: 'social-0.team.svc', port: 6432 }, AbortSignal.timeout(5000));
    stream.write('hello');
    await expect(buffer(stream)).rejects.toThrow(PortForwardError);
  });

  it('rejects when the signal has fired', async () => {
    const dial = await fakeApiServer(() => undefined);
    await expect(
      dial({ host: 'social-0', port: 6432 }, AbortSignal.abort(new Error('enough'))),
    ).rejects.toThrow('enough');
  });
});
