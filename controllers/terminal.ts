/** Wraps a reconciler: an object that does not even parse waits for a change instead of being tried for ever. */
import { InvalidObjectError } from '#crds/api/parse.ts';
import type { Reconcile } from '#kernel/controller.ts';
import { TerminalError } from '#kernel/terminal-error.ts';

export function terminalWhenInvalid(reconcile: Reconcile): Reconcile {
  return async (request, context) => {
    try {
      return await reconcile(request, context);
    } catch (error) {
      if (!(error instanceof InvalidObjectError)) throw error;
      throw new TerminalError(error.code, error.message, error.remedy, { cause: error });
    }
  };
}
