/** Health, readiness and metrics over plain HTTP: for kubelet and Prometheus, inside the cluster. */
import { createServer } from 'node:http';
import type { Health, HealthAnswer } from '#kernel/health.ts';
import type { Metrics } from '#kernel/metrics.ts';

export interface HttpServer extends AsyncDisposable {
  readonly port: number;
}

/** Port 0 takes any free one. */
export async function startHttpServer(health: Health, metrics: Metrics, port: number): Promise<HttpServer> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    const plain = ({ status, body }: HealthAnswer) =>
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(body);
    const [path = ''] = (request.url ?? '').split('?');
    switch (path) {
      case '/healthz':
        plain(health.live());
        return;
      case '/readyz':
        plain(health.ready());
        return;
      case '/metrics':
        metrics.registry.metrics().then(
          text => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
          () => response.writeHead(500).end(),
        );
        return;
      default:
        response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
