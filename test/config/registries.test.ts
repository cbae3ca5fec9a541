// What the table of registries means for a configuration: which registry a service is meant to follow
// where nobody says, and that nothing is asked of a registry that it has not. Two registries that are
// none of the program's stand in the table beside the real ones.
import { describe, expect, it, vi } from 'vitest';
import { FOLLOWED, REGISTRIES } from '../../src/config/registries/table.ts';
import { problemsOf, settingsOf } from '../support/config.ts';

vi.mock('../../src/config/registries/table.ts', async (original) => {
  const table = await original<typeof import('../../src/config/registries/table.ts')>();
  const row = (name: string) => ({
    ...{ title: name, from: ['tag'], place: 'address' },
    flag: { value: 'URL', environment: '', help: 'for tests' },
    variables: { [`${name.toUpperCase()}_AT`]: 'address', [`${name.toUpperCase()}_KEY`]: 'key' },
  });
  const FOLLOWED = { ...table.FOLLOWED, red: row('red'), blue: row('blue') };
  const REGISTRIES = { ...FOLLOWED, static: table.REGISTRIES.static };
  return {
    ...table,
    ...{ FOLLOWED, REGISTRIES },
    FOLLOWED_NAMES: Object.keys(FOLLOWED),
    REGISTRY_NAMES: Object.keys(REGISTRIES),
  };
});

vi.mock('../../src/config/registries/schemas.ts', async (original) => {
  const { z } = await import('zod');
  const schemas = await original<typeof import('../../src/config/registries/schemas.ts')>();
  const schema = z.strictObject({ address: z.string().optional(), key: z.string().optional() });
  const registryShape = {
    ...schemas.registryShape,
    ...{ red: schema.optional(), blue: schema.optional() },
  };
  const buildRegistries = ({ red, blue, ...others }: Record<string, object>) => {
    const more = Object.entries({ red, blue }).filter(([, given]) => given !== undefined);
    return { ...schemas.buildRegistries(others), ...Object.fromEntries(more) };
  };
  return { ...schemas, registryShape, buildRegistries };
});

const registriesOf = (file: string, env: Record<string, string> = {}) => {
  const { services, registries } = settingsOf({ file, env });
  const followed = Object.keys(registries).sort();
  return {
    followed,
    from: services.flatMap(({ from }) => from.map(({ source }) => source.registry)),
  };
};

describe('a service that names no registry', () => {
  it.each([
    ['the one that is configured', 'registries: { red: {} }', ['red'], 'red'],
    ['Consul among several', 'registries: { red: {}, consul: {} }', ['consul', 'red'], 'consul'],
    ['its static endpoints', 'registries: { red: {} }\nstatic: { web: [h:1] }', ['red'], 'static'],
    ['Consul where none is', '{}', ['consul'], 'consul'],
  ])('follows %s', (_, file, followed, from) => {
    const services = 'services: { web: { listen: 8080 } }';
    const text = file === '{}' ? services : `${file}\n${services}`;
    expect(registriesOf(text)).toEqual({ followed, from: [from] });
  });

  it('has to name one among several', () => {
    const file = 'registries: { red: {}, blue: {} }\nservices: { web: { listen: 8080 } }';
    expect(problemsOf({ file })).toEqual([
      expect.stringMatching(
        /upriver\.yaml:2:\d+: services\.web\.from\.registry: is missing, and several registries are configured: expected red or blue/,
      ),
    ]);
  });
});

describe('a registry', () => {
  it('that is not configured is named, with the service that wants it', () => {
    const file =
      'registries: { red: {} }\nservices: { web: { listen: 80, from: { registry: blue } } }';
    expect(problemsOf({ file })).toEqual([
      'upriver.yaml:2:50: services.web.from.registry: the registry blue is not configured: expected registries.blue',
    ]);
    const consul = file.replace('blue', 'consul');
    expect(problemsOf({ file: consul })[0]).toContain('the registry consul is not configured');
  });

  it('that is none is told with those that are', () => {
    const file = 'services: { web: { listen: 80, from: { registry: green } } }';
    expect(problemsOf({ file })[0]).toContain(
      '"green": expected consul, etcd, docker, file, http, dns, zookeeper, red, blue or static',
    );
  });

  it.each([
    ['static: { web: [h:1] }', 'static', 'tag: v1', 'tag'],
    ['static: { web: [h:1] }', 'static', 'accept: [passing]', 'accept'],
    ['registries: { red: {} }', 'red', 'filter: x', 'filter'],
    ['registries: { red: {} }', 'red', 'datacenter: dc2', 'datacenter'],
  ])('is asked for nothing that it has not: %s, %s with %s', (file, registry, more, key) => {
    const text = `${file}\nservices: { web: { listen: 80, from: { registry: ${registry}, ${more} } } }`;
    expect(problemsOf({ file: text })).toEqual([
      expect.stringContaining(
        `services.web.from.${key}: registry ${registry} has no ${key}: take it out`,
      ),
    ]);
  });

  it('is followed where a variable says where it is, and not for its other settings', () => {
    const file = 'static: { web: [h:1] }\nservices: { web: { listen: 80 } }';
    expect(registriesOf(file, { RED_KEY: 'k' }).followed).toEqual([]);
    expect(registriesOf(file, { RED_AT: 'a', RED_KEY: 'k' }).followed).toEqual(['red']);
    const flags = { blue: ['b'] } as object;
    expect(problemsOf({ file, flags })[0]).toContain('--blue: registries.blue.address');
  });
});

describe('the table', () => {
  it('names every variable once', () => {
    const all = Object.values(FOLLOWED).flatMap(({ variables }) => Object.keys(variables));
    expect(new Set(all).size).toBe(all.length);
    expect(Object.keys(REGISTRIES)).toContain('static');
  });
});
