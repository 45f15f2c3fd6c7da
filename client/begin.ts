/**
 * BEGIN and the first statement of a transaction in one message, which spares every transaction a round trip. Both stand before one
 * Sync: where BEGIN fails the server passes over the statement, so that it never runs outside the transaction.
 * https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
import { Query, type QueryConfig, type QueryResult } from 'pg';

export type Done<R extends object> = (error: Error | null, result: QueryResult<R>) => void;

/** Whether the driver sends the statement by the extended protocol. A text of several statements cannot go by it. */
export function canCarryBegin({ text, values = [] }: QueryConfig): boolean {
  return text !== '' && values.length > 0;
}

/** To be given to the driver's client. Only where `canCarryBegin`. */
export function withBegin<R extends object>(
  begin: string,
  text: string,
  values: unknown[],
  done: Done<R>,
): Query {
  const query = new Query(text, values, (error, results: QueryResult<R> | readonly QueryResult<R>[]) => {
    // Two statements, two results; one where the statement was passed over.
    const [result] = Array.isArray(results) ? results.slice(-1) : [results];
    done(error ?? null, result);
  });
  const submit = query.submit.bind(query);
  query.submit = connection => {
    connection.stream.cork();
    try {
      connection.parse({ name: '', text: begin, types: [] }, false);
      connection.bind({}, false);
      connection.execute({}, false);
      return submit(connection);
    } finally {
      connection.stream.uncork();
    }
  };
  return query;
}
