// Checks that the agent runs or is told of, and maintenance, which is a check as well.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { type CheckAnswer, type RegistryClient, unique } from './client.ts';

export function checkSuite(client: RegistryClient): void {
  const withTtl = async (ttl = '1h'): Promise<{ name: string; check: string }> => {
    const name = unique('ttl');
    await client.register({ Name: name, Check: { TTL: ttl } });
    return { name, check: `service:${name}` };
  };

  /** As the agent has it: the catalog gets another text of the same status minutes later. */
  const outputOf = async (check: string): Promise<string> => {
    const { json } = await client.get('/v1/agent/checks');
    return (json as Record<string, CheckAnswer>)[check]!.Output;
  };

  it('begin critical, and follow what the owner of a TTL check says', async () => {
    const { name, check } = await withTtl();
    const first = await client.untilStatus(name, check, 'critical');
    expect(first).toMatchObject({ ServiceID: name, ServiceName: name });
    expect(first.Name).toBe(`Service '${name}' check`);
    for (const [word, status] of [
      ['pass', 'passing'],
      ['warn', 'warning'],
      ['fail', 'critical'],
    ] as const) {
      await client.put(`/v1/agent/check/${word}/${check}?note=said+${word}`);
      const answer = await client.untilStatus(name, check, status);
      expect(answer.Output).toBe(`said ${word}`);
    }
    await client.put(`/v1/agent/check/update/${check}`, { Status: 'passing', Output: 'by update' });
    expect((await client.untilStatus(name, check, 'passing')).Output).toBe('by update');
  });

  it('turn critical when the owner of a TTL check is silent', async () => {
    const { name, check } = await withTtl('100ms');
    await client.put(`/v1/agent/check/pass/${check}?note=well`);
    // That it passed may be over before anyone looks; what it said then is told.
    const isExpired = ({ CheckID, Status, Output }: CheckAnswer) =>
      CheckID === check && Status === 'critical' && /TTL expired.*: well$/.test(Output);
    await client.untilHealth(name, ([entry]) => entry?.Checks.some(isExpired) === true);
  });

  it('refuse words for a check that is unknown or has no TTL', async () => {
    const answer = await client.put('/v1/agent/check/pass/no-such-check');
    expect(answer.status).toBe(500);
    expect(answer.text).toContain('does not have associated TTL');
    const update = await client.put('/v1/agent/check/update/no-such-check', { Status: 'odd' });
    expect(update).toMatchObject({ status: 400, text: "Invalid check status: 'odd'" });
  });

  it('over HTTP pass with 200, warn with 429 and are critical with 500 or nobody there', async () => {
    let status = 200;
    const server = createServer((_, response) => {
      response.statusCode = status;
      response.end('text of the answer');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const name = unique('http');
    const HTTP = `http://127.0.0.1:${port}/health`;
    await client.register({ Name: name, Check: { HTTP, Interval: '1s', Timeout: '1s' } });
    const check = `service:${name}`;
    const good = await client.untilStatus(name, check, 'passing');
    expect(good.Output).toBe(`HTTP GET ${HTTP}: 200 OK Output: text of the answer`);
    status = 429;
    await client.untilStatus(name, check, 'warning');
    status = 500;
    await client.untilStatus(name, check, 'critical');
    await expect.poll(() => outputOf(check)).toContain('500 Internal Server Error');
    status = 200;
    await client.untilStatus(name, check, 'passing');
    server.closeAllConnections();
    server.close();
    await client.untilStatus(name, check, 'critical');
    await expect.poll(() => outputOf(check)).toContain('connection refused');
  });

  it('over TCP ask for a connection', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const name = unique('tcp');
    const TCP = `127.0.0.1:${port}`;
    await client.register({ Name: name, Check: { TCP, Interval: '1s', Timeout: '1s' } });
    const check = await client.untilStatus(name, `service:${name}`, 'passing');
    expect(check.Output).toBe(`TCP connect ${TCP}: Success`);
  });

  it('are numbered where an instance has several', async () => {
    const name = unique('several');
    await client.register({ Name: name, Checks: [{ TTL: '1h' }, { TTL: '1h', Name: 'second' }] });
    const [entry] = await client.untilCount(name, 1);
    const own = entry!.Checks.filter(({ ServiceID }) => ServiceID === name);
    expect(own.map(({ CheckID }) => CheckID)).toEqual([`service:${name}:1`, `service:${name}:2`]);
    expect(own[1]!.Name).toBe('second');
  });

  it('can be registered and taken out by themselves', async () => {
    const name = unique('apart');
    await client.register({ Name: name });
    const check = { Name: `${name} check`, ID: `${name}-c`, ServiceID: name, TTL: '1h' };
    expect((await client.put('/v1/agent/check/register', check)).status).toBe(200);
    await client.untilStatus(name, `${name}-c`, 'critical');
    const listed = (await client.get('/v1/agent/checks')).json as Record<string, CheckAnswer>;
    expect(listed[`${name}-c`]).toMatchObject({ ServiceID: name, Status: 'critical' });
    await client.put(`/v1/agent/check/deregister/${name}-c`);
    await client.untilHealth(name, ([entry]) => entry?.Checks.length === 1);
    const unnamed = await client.put('/v1/agent/check/register', { TTL: '1h' });
    expect(unnamed).toMatchObject({ status: 400, text: 'Missing check name' });
    const orphan = { Name: 'x', ServiceID: 'no-such-service', TTL: '1h' };
    const refused = await client.put('/v1/agent/check/register', orphan);
    expect(refused.status).toBe(500);
    expect(refused.text).toContain('"no-such-service" does not exist');
  });

  it('keep their state when the instance registers again', async () => {
    const { name, check } = await withTtl();
    await client.put(`/v1/agent/check/pass/${check}?note=well`);
    await client.untilStatus(name, check, 'passing');
    await client.register({ Name: name, Port: 99, Check: { TTL: '1h' } });
    const [entry] = await client.untilHealth(name, ([one]) => one?.Service.Port === 99);
    expect(entry!.Checks.find(({ CheckID }) => CheckID === check)).toMatchObject({
      Status: 'passing',
      Output: 'well',
    });
  });

  it('put a service into maintenance and out again, with the reason in the notes', async () => {
    const name = unique('maint');
    await client.register({ Name: name });
    const check = `_service_maintenance:${name}`;
    const path = `/v1/agent/service/maintenance/${name}`;
    await client.put(`${path}?enable=true&reason=new%20disk`);
    const on = await client.untilStatus(name, check, 'critical');
    expect(on).toMatchObject({
      Name: 'Service Maintenance Mode',
      Notes: 'new disk',
      Output: '',
      ServiceID: name,
    });
    expect(await client.health(name, '?passing')).toEqual([]);
    await client.put(`${path}?enable=false`);
    const [entry] = await client.untilHealth(name, ([one]) => one?.Checks.length === 1);
    expect(entry!.Checks[0]!.CheckID).toBe('serfHealth');
  });

  it('explain maintenance that came without a reason', async () => {
    const name = unique('why');
    await client.register({ Name: name });
    await client.put(`/v1/agent/service/maintenance/${name}?enable=true`);
    const check = await client.untilStatus(name, `_service_maintenance:${name}`, 'critical');
    expect(check.Notes).toBe(
      'Maintenance mode is enabled for this service, but no reason was provided. ' +
        'This is a default message.',
    );
  });

  it('put every service of the node into maintenance at once', async () => {
    const name = unique('node-maint');
    await client.register({ Name: name });
    await client.untilCount(name, 1);
    await client.put('/v1/agent/maintenance?enable=true&reason=kernel');
    onTestFinished(() => void client.put('/v1/agent/maintenance?enable=false'));
    const check = await client.untilStatus(name, '_node_maintenance', 'critical');
    expect(check).toMatchObject({ Name: 'Node Maintenance Mode', Notes: 'kernel', ServiceID: '' });
    await client.put('/v1/agent/maintenance?enable=false');
    await client.untilHealth(name, ([entry]) => entry?.Checks.length === 1);
  });

  it('are found by their state', async () => {
    const { name, check } = await withTtl();
    await client.untilStatus(name, check, 'critical');
    const stateOf = async (state: string) => {
      const { json } = await client.get(`/v1/health/state/${state}`);
      return (json as CheckAnswer[]).map(({ CheckID }) => CheckID);
    };
    expect(await stateOf('critical')).toContain(check);
    expect(await stateOf('any')).toContain(check);
    expect(await stateOf('any')).toContain('serfHealth');
    expect(await stateOf('passing')).not.toContain(check);
    const [entry] = await client.health(name);
    const ofNode = await client.get(`/v1/health/node/${entry!.Node.Node}`);
    expect((ofNode.json as CheckAnswer[]).map(({ CheckID }) => CheckID)).toContain(check);
  });
}
