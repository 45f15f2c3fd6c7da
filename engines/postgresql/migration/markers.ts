/** A row written at one end and awaited at the other: when it is there, so is all that was committed before it. */
import type { Client } from 'pg';
import type { Pace } from './short-lock.ts';

/** The connection's `synchronous_commit` may be local: the stream itself waits for the standbys. */
export async function sendMarker(client: Client, id: string): Promise<string> {
  const { rows } = await client.query<{ token: string }>({
    name: 'marker',
    text: 'INSERT INTO shardwright.marker (transfer) VALUES ($1) RETURNING token::text',
    values: [id],
  });
  return rows[0]?.token ?? '';
}

/** False when it did not come in time. */
export async function awaitMarker(
  client: Client,
  marker: { readonly id: string; readonly token: string },
  deadline: number,
  pace: Pace,
): Promise<boolean> {
  for (;;) {
    const { rowCount } = await client.query({
      name: 'arrived',
      text: 'SELECT FROM shardwright.marker WHERE transfer = $1 AND token = $2',
      values: [marker.id, marker.token],
    });
    if (rowCount === 1) return true;
    if (performance.now() > deadline) return false;
    await pace.pause(1);
  }
}
