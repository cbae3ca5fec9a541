import { describe, expect, it } from 'vitest';
import {
  imageName,
  type ServiceRules,
  servicesOf,
} from '../../src/containers/container-services.ts';
import { type ContainerSpec, container, rules } from '../support/containers.ts';

/** The fields of Registrator's service object, as its documentation prints it. */
function registered(spec: ContainerSpec, more: Partial<ServiceRules> = {}) {
  return servicesOf(container(spec), rules(more)).map((one) => ({
    ID: one.id,
    Name: one.name,
    Port: one.port,
    IP: one.ip,
    Tags: one.tags,
    Attrs: one.attributes,
  }));
}

const redis: ContainerSpec = {
  name: 'redis.0',
  image: 'progrium/redis',
  published: { '6379/tcp': '10000' },
};
const nginx: ContainerSpec = {
  name: 'nginx.0',
  image: 'progrium/nginx',
  published: { '443/tcp': '4443', '80/tcp': '8000' },
};

describe("the examples of Registrator's documentation", () => {
  it('a single service with defaults', () => {
    expect(registered(redis)).toEqual([
      {
        ID: 'hostname:redis.0:6379',
        Name: 'redis',
        Port: 10000,
        IP: '192.168.1.102',
        Tags: [],
        Attrs: {},
      },
    ]);
  });

  const db = {
    ID: 'hostname:redis.0:6379',
    Name: 'db',
    Port: 10000,
    IP: '192.168.1.102',
    Tags: ['master', 'backups'],
    Attrs: { region: 'us2' },
  };

  it('a single service with metadata, by variables and by labels', () => {
    const env = ['SERVICE_NAME=db', 'SERVICE_TAGS=master,backups', 'SERVICE_REGION=us2'];
    expect(registered({ ...redis, env })).toEqual([db]);
    const labels = Object.fromEntries(env.map((one) => one.split('=')));
    expect(registered({ ...redis, labels })).toEqual([db]);
  });

  it('a comma within a tag', () => {
    const env = ['SERVICE_TAGS=/(;\\,:-_)/,,b\\,c,'];
    expect(registered({ ...redis, env })[0]!.Tags).toEqual(['/(;,:-_)/', 'b,c']);
  });

  it('several services with defaults', () => {
    const services = registered(nginx);
    expect(services.map(({ ID, Name, Port }) => [ID, Name, Port])).toEqual([
      ['hostname:nginx.0:80', 'nginx-80', 8000],
      ['hostname:nginx.0:443', 'nginx-443', 4443],
    ]);
  });

  it('several services with metadata', () => {
    const env = [
      ...['SERVICE_443_NAME=https', 'SERVICE_443_ID=https.12345', 'SERVICE_443_SNI=enabled'],
      ...['SERVICE_80_NAME=http', 'SERVICE_TAGS=www'],
    ];
    const common = { IP: '192.168.1.102', Tags: ['www'] };
    expect(registered({ ...nginx, env })).toEqual([
      { ...common, ID: 'hostname:nginx.0:80', Name: 'http', Port: 8000, Attrs: {} },
      { ...common, ID: 'https.12345', Name: 'https', Port: 4443, Attrs: { sni: 'enabled' } },
    ]);
  });
});

describe('names', () => {
  it.each([
    ['redis', 'redis'],
    ['redis:7', 'redis'],
    ['registry.example.com:5000/team/web:v1', 'web'],
    ['team/web@sha256:0123456789abcdef', 'web'],
    ['localhost:5000/web', 'web'],
    ['web:v1@sha256:0123', 'web'],
    ['localhost/bb:latest', 'bb'],
  ])('%s is called %s', (image, name) => expect(imageName(image)).toBe(name));

  it('carry the port where there are several, also names of their own', () => {
    const env = ['SERVICE_NAME=site', 'SERVICE_80_NAME=plain'];
    expect(registered({ ...nginx, env }).map(({ Name }) => Name)).toEqual(['plain', 'site-443']);
  });

  it('count ports that are ignored', () => {
    const env = ['SERVICE_443_IGNORE=1'];
    expect(registered({ ...nginx, env }).map(({ Name }) => Name)).toEqual(['nginx-80']);
  });

  it('count tcp and udp on one port as two', () => {
    const dns = { name: 'dns', image: 'dns', published: { '53/tcp': '53', '53/udp': '53' } };
    expect(registered(dns).map(({ ID, Name, Tags }) => [ID, Name, Tags])).toEqual([
      ['hostname:dns:53', 'dns-53', []],
      ['hostname:dns:53:udp', 'dns-53', ['udp']],
    ]);
  });

  it('a port alone makes no group where the others are not published', () => {
    const published = { '80/tcp': '8000', '443/tcp': '' };
    expect(registered({ ...nginx, published }).map(({ Name }) => Name)).toEqual(['nginx']);
  });

  it('are asked for with -explicit', () => {
    expect(registered(redis, { isExplicit: true })).toEqual([]);
    const named = { ...redis, labels: { SERVICE_6379_NAME: 'db' } };
    expect(registered(named, { isExplicit: true }).map(({ Name }) => Name)).toEqual(['db']);
  });
});

describe('metadata', () => {
  it.each(['1', 'true', 'false', 'no'])('SERVICE_IGNORE=%s ignores', (value) => {
    expect(registered({ ...redis, env: [`SERVICE_IGNORE=${value}`] })).toEqual([]);
  });

  it('SERVICE_IGNORE without a value ignores nothing', () => {
    expect(registered({ ...redis, env: ['SERVICE_IGNORE='] })).toHaveLength(1);
  });

  it('a label wins over a variable, what names the port over what does not', () => {
    const env = ['SERVICE_6379_REGION=of-port', 'SERVICE_ZONE=a', 'SERVICE_6379_ZONE=b'];
    const labels = { SERVICE_REGION: 'label', SERVICE_6379_ZONE: 'c' };
    expect(registered({ ...redis, env, labels })[0]!.Attrs).toEqual({
      region: 'of-port',
      zone: 'c',
    });
  });

  it('keys are in lower case, and the prefix is not', () => {
    const env = ['SERVICE_Check_HTTP=/health', 'service_name=x', 'SERVICEX=y'];
    expect(registered({ ...redis, env })[0]).toMatchObject({
      Name: 'redis',
      Attrs: { check_http: '/health' },
    });
  });

  it('of another port is not of this one', () => {
    const env = ['SERVICE_80_NAME=other', 'SERVICE_80_TAGS=x'];
    expect(registered({ ...redis, env })[0]).toMatchObject({ Name: 'redis', Tags: [], Attrs: {} });
  });

  it('tags are those of the container, then those of -tags, then udp', () => {
    const dns = { name: 'dns', published: { '53/udp': '53' }, env: ['SERVICE_TAGS=a'] };
    expect(registered(dns, { tagsOf: () => 'b,c' })[0]!.Tags).toEqual(['a', 'b', 'c', 'udp']);
  });

  it('keys that are names of Object.prototype are keys', () => {
    const env = ['SERVICE___PROTO__=x', 'SERVICE_CONSTRUCTOR=y'];
    const [{ Attrs } = { Attrs: {} }] = registered({ ...redis, env });
    expect(Object.entries(Attrs)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });
});

describe('addresses', () => {
  it('a port that is published on one address is there', () => {
    const published = { '6379/tcp': '10.1.2.3:10000' };
    expect(registered({ ...redis, published })[0]).toMatchObject({ IP: '10.1.2.3', Port: 10000 });
  });

  it.each(['', '0.0.0.0', '::'])('published on %j is on the host', (ip) => {
    const published = { '6379/tcp': `${ip}:10000` };
    expect(registered({ ...redis, published })[0]).toMatchObject({ IP: '192.168.1.102' });
  });

  it('-ip is put in the place of both', () => {
    for (const binding of ['10000', '10.1.2.3:10000']) {
      const spec = { ...redis, published: { '6379/tcp': binding } };
      expect(registered(spec, { ip: '1.2.3.4' })[0]).toMatchObject({ IP: '1.2.3.4', Port: 10000 });
    }
  });

  it('without a published port there is no service, with -internal there is', () => {
    const spec = { ...redis, published: { '6379/tcp': '' } };
    expect(registered(spec)).toEqual([]);
    expect(registered(spec, { isInternal: true })[0]).toMatchObject({
      IP: '172.17.0.2',
      Port: 6379,
    });
  });

  it('-internal takes the address of the network that the container is in', () => {
    const spec = {
      ...redis,
      networkMode: 'back',
      networks: { front: '172.19.0.9', back: '172.20.0.7' },
    };
    expect(registered(spec, { isInternal: true })[0]).toMatchObject({ IP: '172.20.0.7' });
    const chosen = registered(spec, { isInternal: true, network: 'front' });
    expect(chosen[0]).toMatchObject({ IP: '172.19.0.9', Port: 6379 });
  });

  it('on the network of the host what is exposed is open there', () => {
    const spec = {
      ...redis,
      exposed: ['6379/tcp'],
      published: {},
      networkMode: 'host',
      networks: { host: '' },
    };
    const at = { IP: '192.168.1.102', Port: 6379 };
    expect(registered(spec)[0]).toMatchObject(at);
    expect(registered(spec, { isInternal: true })[0]).toMatchObject(at);
  });

  it('on a bridge of its own the published port is on the host', () => {
    const spec = { ...redis, networkMode: 'mynet', networks: { mynet: '172.20.0.2' } };
    expect(registered(spec)[0]).toMatchObject({ IP: '192.168.1.102', Port: 10000 });
  });

  it('on an overlay it is reached there', () => {
    const spec = { ...redis, networkMode: 'mesh', networks: { mesh: '10.0.9.3' } };
    const driverOf = (id: string) => (id === 'id-of-mesh' ? 'overlay' : '');
    expect(registered(spec, { driverOf })[0]).toMatchObject({ IP: '10.0.9.3', Port: 6379 });
  });

  it('-useIpFromLabel takes what stands there, without its mask', () => {
    const labels = { ip: '10.9.8.7/24' };
    expect(registered({ ...redis, labels }, { ipLabel: 'ip' })[0]).toMatchObject({
      IP: '10.9.8.7',
      Port: 10000,
    });
    expect(registered(redis, { ipLabel: 'ip' })[0]).toMatchObject({ IP: '192.168.1.102' });
  });

  it('in the network of another container its address counts', () => {
    const pod = container({ name: 'pod', networks: { bridge: '172.17.0.77' } });
    const spec = {
      ...redis,
      networkMode: `container:${pod.id}`,
      networks: {},
      exposed: ['6379/tcp'],
      published: {},
    };
    const containerOf = (id: string) => (id === pod.id ? pod : null);
    expect(registered(spec, { containerOf })[0]).toMatchObject({ IP: '172.17.0.77', Port: 6379 });
  });
});
