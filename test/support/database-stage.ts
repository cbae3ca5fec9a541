// Servers of a test and Upriver in front of them as one TCP service; everything ends with `close`.
import type { ServerProcess } from './databases.ts';
import { freePorts } from './ports.ts';
import { startUpriver, type UpriverProcess } from './upriver.ts';

export class DatabaseStage {
  /** Null until `serve`, or where a test starts its own. */
  upriver: UpriverProcess | null = null;
  /** What is to be ended beside the servers; the last first. */
  readonly ends: (() => Promise<void> | void)[] = [];

  async keep(server: Promise<ServerProcess>): Promise<ServerProcess> {
    const started = await server;
    this.ends.push(() => started.stop());
    return started;
  }

  /** The service `db` over two workers; returns its port. */
  async serve(servers: readonly ServerProcess[], settings: string): Promise<number> {
    const [port] = (await freePorts(1)) as [number];
    const list = servers.map((server) => `127.0.0.1:${server.port}`).join(',');
    const service = `db=127.0.0.1:${port},protocol=tcp,${settings}`;
    const args = ['--workers', '2', '--static', `db=${list}`, '--service', service];
    this.upriver = await startUpriver({ args });
    return port;
  }

  async close(): Promise<void> {
    for (const end of this.ends.splice(0).reverse()) await end();
    await this.upriver?.stop();
    this.upriver = null;
  }
}
