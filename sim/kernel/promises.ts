// The product's code uses promises where it is not in a hurry (apply, drain, listen). Between two
// events all of them must have run as far as they get, or runs would depend on the real event loop.
// Waiting for that after each event would cost more than the events; so V8's hooks tell whether a
// promise was made or settled at all.
import { promiseHooks } from 'node:v8';

export class PromiseWatch {
  /** A promise was made or settled since this was cleared: what follows from it may be yet to run. */
  isDirty = true;
  private readonly stopHooks: (() => void)[];

  constructor() {
    const mark = (): void => {
      this.isDirty = true;
    };
    // A reaction to a promise that has settled before is told by the promise it returns: onInit.
    // The hooks return functions that take them off again; their types say Function.
    this.stopHooks = [promiseHooks.onInit(mark), promiseHooks.onSettled(mark)] as (() => void)[];
  }

  stop(): void {
    for (const stop of this.stopHooks) stop();
  }
}
