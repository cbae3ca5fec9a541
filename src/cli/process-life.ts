// What signals mean to a running balancer, and how its process ends.
//   SIGTERM, SIGINT   drain, then exit 0; a second one exits at once
//   SIGHUP            read the configuration again
import { messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';

/**
 * One wish to end may arrive twice: Ctrl-C and systemd reach every process of the group, and npm,
 * timeout and our launcher hand on what they got. So soon after the first it is the same wish.
 */
const SAME_WISH_MS = 150;

export interface LifeOptions {
  readonly log: Logger;
  /** Finishes what is in flight and ends everything. */
  readonly drain: () => Promise<void>;
  readonly reload: () => void;
  /** Writes what is buffered in the log. */
  readonly flush: () => void;
}

/** Takes the signals over. Resolves with the exit code when the balancer has ended. */
export function liveUntilSignal(options: LifeOptions): Promise<number> {
  const { log, drain, reload, flush } = options;
  let firstMs = -1;
  return new Promise((resolve) => {
    const end = (signal: NodeJS.Signals): void => {
      if (firstMs < 0) {
        firstMs = performance.now();
        log.info({ signal }, 'shutdown requested');
        drain().then(
          () => resolve(0),
          (error) => {
            log.error({ err: messageOf(error) }, 'the drain failed');
            resolve(1);
          },
        );
        return;
      }
      if (performance.now() - firstMs < SAME_WISH_MS) return;
      log.warn({ signal }, 'second signal: exiting now');
      flush();
      process.exit(1);
    };
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
    process.on('SIGHUP', reload);
    process.on('uncaughtException', (error) => {
      log.error({ err: error.stack ?? String(error) }, 'uncaught exception');
      flush();
      process.exit(1);
    });
  });
}
