// The house rules, as a test: which folder may import which, which names are banned where, and
// that no file is dead. The picture is drawn in docs/architecture.md; a new arrow is added in both.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { THREADS } from '../scripts/threads.ts';

const root = join(import.meta.dirname, '..');

/** What providers have in common. */
const sharedByProviders = [
  ...['src/reach', 'src/discovery/contact.ts', 'src/discovery/host-names.ts'],
  ...['src/discovery/self-description.ts', 'src/discovery/host-port.ts'],
  ...['src/discovery/followed-instances.ts', 'src/discovery/listed-services.ts'],
  ...['src/discovery/origins.ts', 'src/discovery/target-groups.ts', 'src/discovery/key-record.ts'],
  ...['src/discovery/declared-check.ts', 'src/discovery/doubts.ts'],
  ...['src/discovery/group-list.ts', 'src/discovery/own-settings.ts'],
  'src/discovery/following.ts',
];

/** Folder -> folders it may import from (itself always). The longest matching prefix rules. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  'src/base': [],
  'src/model': ['src/base'],
  'src/ledger': ['src/base'],
  'src/worker/messages.ts': ['src/base', 'src/model', 'src/ledger'],
  // Control plane (main thread).
  'src/discovery/provider.ts': ['src/base', 'src/model'],
  'src/discovery/provider-set.ts': ['src/base', 'src/model', 'src/discovery/provider.ts'],
  'src/discovery/host-names.ts': ['src/base'],
  'src/discovery/listen-names.ts': ['src/base'],
  'src/discovery/contact.ts': ['src/base'],
  'src/discovery/static.ts': [
    'src/base',
    'src/model',
    'src/discovery/host-names.ts',
    'src/discovery/provider.ts',
  ],
  'src/discovery/declared-check.ts': ['src/base', 'src/model'],
  'src/discovery/doubts.ts': ['src/base', 'src/model', 'src/discovery/provider.ts'],
  'src/discovery/following.ts': ['src/model', 'src/discovery/provider.ts'],
  'src/discovery/self-description.ts': ['src/base', 'src/model', 'src/discovery/provider.ts'],
  'src/discovery/host-port.ts': ['src/base'],
  'src/discovery/followed-instances.ts': [
    ...['src/base', 'src/model', 'src/discovery/host-names.ts', 'src/discovery/provider.ts'],
  ],
  'src/discovery/key-record.ts': [
    ...['src/base', 'src/model', 'src/discovery/followed-instances.ts'],
    'src/discovery/host-port.ts',
  ],
  'src/discovery/listed-services.ts': [
    'src/discovery/following.ts',
    ...['src/base', 'src/model', 'src/discovery/provider.ts'],
    'src/discovery/followed-instances.ts',
  ],
  'src/discovery/origins.ts': [
    ...['src/discovery/followed-instances.ts', 'src/discovery/listed-services.ts'],
  ],
  'src/discovery/group-list.ts': ['src/base', 'src/model'],
  'src/discovery/own-settings.ts': ['src/model', 'src/discovery/provider.ts'],
  'src/discovery/target-groups.ts': [
    ...['src/base', 'src/model', 'src/discovery/followed-instances.ts'],
    ...['src/discovery/host-port.ts', 'src/discovery/listed-services.ts'],
    'src/discovery/own-settings.ts',
  ],
  // A provider has a folder, and knows no other.
  ...Object.fromEntries(
    foldersOf('src/discovery').map((folder) => [
      folder,
      [
        ...['src/base', 'src/model', 'src/discovery/provider.ts', ...sharedByProviders],
        // What is made of containers, the provider and the registrar have in common.
        ...(folder === 'src/discovery/docker' ? ['src/containers'] : []),
      ],
    ]),
  ),
  'src/reach': ['src/base', 'src/model'],
  'src/containers': ['src/base', 'src/model', 'src/reach'],
  'src/registrar': [
    ...['src/base', 'src/model', 'src/containers', 'src/reach'],
    // It writes by the client that reads.
    'src/discovery/etcd',
  ],
  'src/registering.ts': [
    ...['src/base', 'src/model', 'src/doors.ts', 'src/registrar', 'src/reach', 'src/version.ts'],
  ],
  'src/health': ['src/base', 'src/model'],
  'src/config': ['src/base', 'src/model'],
  'src/control': ['src/base', 'src/model', 'src/ledger', 'src/health', 'src/discovery/provider.ts'],
  'src/certificates': ['src/base', 'src/model', 'src/reach'],
  'src/state': ['src/base', 'src/model', 'src/discovery/provider.ts'],
  'src/supervisor': ['src/base', 'src/model', 'src/ledger', 'src/worker/messages.ts'],
  'src/observe': [
    'src/base',
    'src/model',
    'src/ledger',
    'src/discovery/provider.ts',
    'src/control/view.ts',
  ],
  'src/dev': ['src/base'],
  'src/doors.ts': [
    'src/base',
    'src/control/port-claims.ts',
    'src/containers',
    'src/discovery/consul',
    'src/discovery/dns',
    'src/discovery/docker',
    'src/discovery/file',
    'src/discovery/http',
    'src/discovery/etcd',
    'src/discovery/zookeeper',
    'src/discovery/host-names.ts',
    'src/discovery/listen-names.ts',
    'src/reach',
    'src/health',
    'src/state',
    'src/supervisor',
  ],
  'src/providers.ts': ['src/doors.ts', 'src/base', 'src/model', 'src/discovery'],
  'src/main.ts': [
    'src/doors.ts',
    'src/certificates',
    'src/providers.ts',
    'src/base',
    'src/model',
    'src/ledger',
    'src/config',
    'src/control',
    'src/health',
    'src/observe',
    'src/state',
    'src/supervisor',
    'src/version.ts',
  ],
  'src/version.ts': [],
  'src/cli': [
    ...['src/base', 'src/model', 'src/ledger', 'src/certificates', 'src/config', 'src/main.ts'],
    'src/registering.ts',
  ],
  'src/cli/dev.ts': ['src/base', 'src/model', 'src/config', 'src/main.ts', 'src/cli', 'src/dev'],
  // Data plane (worker threads).
  'src/http1': ['src/base'],
  'src/http2': ['src/base', 'src/http1'],
  'src/balance': ['src/base', 'src/model'],
  'src/proxy': ['src/base', 'src/model', 'src/ledger', 'src/balance', 'src/http1'],
  'src/proxy/http': [
    'src/base',
    'src/model',
    'src/ledger',
    'src/balance',
    'src/http1',
    'src/http2',
    'src/proxy',
  ],
  'src/proxy/http/http1': [
    'src/base',
    'src/model',
    'src/ledger',
    'src/balance',
    'src/http1',
    'src/http2',
    'src/proxy',
  ],
  'src/proxy/tcp': ['src/base', 'src/model', 'src/ledger', 'src/balance', 'src/proxy'],
  'src/proxy/udp': ['src/base', 'src/model', 'src/ledger', 'src/balance', 'src/proxy'],
  'src/worker': ['src/base', 'src/model', 'src/ledger', 'src/proxy'],
};

/** Sideways arrows that the prefixes above would allow but the layout doesn't. */
const forbidden: readonly (readonly [string, string])[] = [
  ['src/proxy/http', 'src/proxy/tcp'],
  ['src/proxy/tcp', 'src/proxy/http'],
  ...neutralFiles().map((file) => [file, 'src/proxy/http/http1'] as const),
];

/** What knows no protocol of HTTP. The two others are where the protocols meet. */
function neutralFiles(): string[] {
  const meeting = new Set(['attempts.ts', 'plane.ts']);
  return readdirSync(join(root, 'src/proxy/http'))
    .filter((name) => name.endsWith('.ts') && !meeting.has(name))
    .map((name) => `src/proxy/http/${name}`);
}

/** Third-party packages -> where they may be imported. */
const packages: Readonly<Record<string, readonly string[]>> = {
  yaml: ['src/config', 'src/cli', 'src/discovery/file'],
  zod: ['src/config'],
  undici: ['src/reach', 'src/containers/door.ts'],
  'prom-client': ['src/observe'],
  'acme-client': ['src/certificates/acme'],
  pino: ['src/cli'],
};

const sources = filesBelow('src').filter((file) => file.endsWith('.ts'));

/** What a simulator replaces: the doors of the data plane (WorkerContext) and the control plane. */
const behindDoors = [
  ...['src/doors.ts', 'src/proxy/wire', 'src/worker/entry.ts'],
  ...[
    'src/health/http-check.ts',
    'src/health/tls-options.ts',
    'src/health/own-connection.ts',
    'src/health/tcp-check.ts',
    'src/health/http2-check.ts',
    'src/health/either-check.ts',
    'src/health/tls-check.ts',
    'src/health/udp-check.ts',
  ],
  ...['src/health/conversation.ts', 'src/state/disk.ts'],
  ...['src/supervisor/node-thread.ts', 'src/supervisor/migration.ts'],
  // Tokens and certificates are read from files; none are in a simulation.
  'src/reach',
  'src/certificates/files.ts',
  ...['src/certificates/acme/folder.ts', 'src/certificates/acme/lock.ts'],
  // How another provider reaches its registry is in one file of its folder.
  ...foldersOf('src/discovery').map((folder) => `${folder}/door.ts`),
  ...['src/discovery/host-names.ts', 'src/discovery/listen-names.ts'],
  // The file's door reads YAML in a thread.
  ...['src/discovery/file/yaml-thread.ts', 'src/discovery/file/yaml-entry.ts'],
  ...['src/containers/door.ts', 'src/registering.ts'],
  ...[
    'src/supervisor/peer-process.ts',
    'src/supervisor/port-probe.ts',
    'src/supervisor/shared-ports.ts',
  ],
];

/** Words -> where they may stand, and why nowhere else. */
const bans: readonly { word: RegExp; allowed: readonly string[]; why: string }[] = [
  {
    word: /\bprocess\.env\b/,
    allowed: ['src/config', 'src/cli'],
    why: 'settings come in through config, so that tests can give their own',
  },
  {
    word: /\bconsole\./,
    allowed: ['src/cli', 'src/dev', 'src/observe/stats-page'],
    why: 'one logger writes to stdout',
  },
  {
    word: /\b(?:(?:open|read|stat|lstat|fstat|readdir|opendir|access|exists|realpath|readFile)Sync|readRegularFile)\(/,
    allowed: ['src/base/regular-file.ts', 'src/cli', 'src/dev']
      // Before anything is served: the configuration, the state file, files of the program itself.
      .concat([
        'src/config/source.ts',
        'src/state/disk.ts',
        'src/version.ts',
        'src/observe/page.ts',
      ])
      // The kernel's own, which no disk holds up.
      .concat(['src/supervisor', 'src/proxy/wire/descriptors.ts']),
    why: 'a disk that hangs must not hold a thread that serves: base/timely-file.ts',
  },
  {
    word: /\bMath\.random\b/,
    allowed: ['src/doors.ts', 'src/cli', 'src/dev', 'src/worker/entry.ts'],
    why: 'chance is injected (base/prng), so that a seed replays a run',
  },
  {
    word: /[\w\])!]\.\w+ (?:\?\?)?= (?:async )?(?:\([^=]*\)|\w+)(?:: \w+)? =>/,
    // Once for a process or a listener, or before a connection ends badly.
    allowed: ['src/discovery/consul/provider.ts'].concat(
      ['accept-waiting', 'accept', 'node-datagrams', 'tls-socket', 'udp-handles'].map(
        (name) => `src/proxy/wire/${name}.ts`,
      ),
    ),
    why: 'V8 keeps a function that is assigned as it is written, with all it refers to, until its next full collection: name it',
  },
  {
    word: /\bDate\.now\b/,
    allowed: ['src/base/clock.ts', 'src/dev', 'src/observe'],
    why: 'time comes from a Clock',
  },
  {
    word: /from 'node:(net|dgram|dns|tls|http2?|fs|worker_threads)(\/promises)?'|\bimport\('undici|from 'undici'/,
    allowed: ['src/base', 'src/cli', 'src/config', 'src/dev', 'src/version.ts', 'src/observe']
      .concat(behindDoors)
      // Of net it takes a list of addresses or their kind, no socket.
      .concat(['src/proxy/http/trusted-proxies.ts'])
      // Of tls it makes contexts, which reach nothing.
      .concat(['src/model/tls-contexts.ts']),
    why: 'both planes reach the outside by doors, so that a simulator can replace them',
  },
  {
    word: /from 'node:net'/,
    allowed: [
      ...['src/proxy', 'src/health', 'src/dev', 'src/observe', 'src/config', 'src/discovery'],
      'src/supervisor/port-probe.ts',
    ],
    why: 'sockets belong to the parts that own a wire',
  },
  {
    word: /\bperformance\.|node:(timers|perf_hooks)|\bset(Timeout|Immediate|Interval)\(|\bqueueMicrotask\b|\bnextTick\b|\bnew Date\(\)/,
    allowed: ['src/base/clock.ts', 'src/cli', 'src/config', 'src/dev', 'src/observe'].concat(
      behindDoors,
    ),
    why: 'both planes take time from their clock, so that a simulator can replace it',
  },
];

const imports = new Map(sources.map((file) => [file, importsOf(file)]));

describe('imports', () => {
  it.each(sources)('%s imports only what its folder may', (file) => {
    const allowed = allowedFor(file);
    for (const target of imports.get(file)!.files) {
      expect(
        allowed.some((place) => isBelow(target, place)) && !isForbidden(file, target),
        `${file} must not import ${target}`,
      ).toBe(true);
    }
    for (const name of imports.get(file)!.packages) {
      const places = packages[name] ?? [];
      expect(
        places.some((place) => isBelow(file, place)),
        `${file} must not import the package ${name}`,
      ).toBe(true);
    }
  });

  it('form no cycle', () => {
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      expect(path, `cycle: ${[...path, file].join(' -> ')}`).not.toContain(file);
      if (done.has(file)) return;
      // Types may refer to each other: a cycle of values is what breaks at run time.
      for (const target of imports.get(file)?.values ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
  });

  it('are those of the package where a thread is started', () => {
    const entries = sources.filter((file) =>
      /\bparentPort\b/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(THREADS.map((one) => `src/${one}.ts`).sort()).toEqual(entries.sort());
  });

  it('reach every file from the entry points', () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const target of imports.get(file)?.files ?? []) visit(target);
    };
    const threads = THREADS.map((one) => `src/${one}.ts`);
    for (const entry of ['src/cli/upriver.ts', ...threads]) visit(entry);
    expect(sources.filter((file) => !reached.has(file))).toEqual([]);
  });
});

describe('exports', () => {
  it('are imported somewhere', () => {
    const users = ['src', 'test', 'sim', 'attack', 'bench', 'scripts'].flatMap(filesBelow);
    const wanted = new Set(users.filter((file) => file.endsWith('.ts')).flatMap(namesImportedBy));
    const unused = sources
      .filter((file) => !wanted.has(`${file} *`))
      .flatMap((file) => namesExportedBy(file).map((name) => `${file} ${name}`))
      .filter((one) => !wanted.has(one));
    expect(unused).toEqual([]);
  });
});

describe('methods', () => {
  it('are named somewhere beside where they are written', () => {
    const counts = new Map<string, number>();
    for (const folder of ['src', 'test', 'sim', 'bench', 'attack']) {
      for (const file of filesBelow(folder).filter((one) => one.endsWith('.ts'))) {
        for (const [word] of readFileSync(join(root, file), 'utf8').matchAll(/[A-Za-z_]\w*/g)) {
          counts.set(word, (counts.get(word) ?? 0) + 1);
        }
      }
    }
    const method = /^ {2}(?:(?:private|static|async|get|set) )*\*?([a-z]\w*)(?:<.*>)?\(.*\{$/gm;
    const unnamed = sources.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(method)]
        .flatMap(([, name = '']) => name)
        .filter((name) => name !== 'constructor' && counts.get(name) === 1)
        .map((name) => `${file} ${name}`),
    );
    expect(unnamed).toEqual([]);
  });
});

describe('words', () => {
  it.each(bans.map((ban) => [ban.word.source, ban] as const))(
    '%s stands only where it may',
    (_, ban) => {
      for (const file of sources) {
        if (ban.allowed.some((place) => isBelow(file, place))) continue;
        const lines = readFileSync(join(root, file), 'utf8').split('\n');
        const hits = lines.filter(
          (line) => ban.word.test(line) && !/^\s*(\/\/|\*|\/\*)/.test(line),
        );
        expect(hits, `${file}: ${ban.why}`).toEqual([]);
      }
    },
  );

  it('left over from work are none', () => {
    const leftover = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX|\\.on', 'ly\\('].join(''));
    for (const file of [...sources, ...filesBelow('test'), ...filesBelow('bench')]) {
      expect(leftover.exec(readFileSync(join(root, file), 'utf8'))?.[0], file).toBeUndefined();
    }
  });
});

function foldersOf(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `${folder}/${name}`);
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes('bench/results'));
}

interface Imports {
  readonly files: string[];
  readonly packages: string[];
  /** The files that are imported for more than their types. */
  readonly values: string[];
}

function importsOf(file: string): Imports {
  const text = readFileSync(join(root, file), 'utf8');
  const values = readImports(file, text.replace(/^import type [^;]*;/gm, '')).files;
  return { ...readImports(file, text), values };
}

function readImports(file: string, text: string): Omit<Imports, 'values'> {
  const found = { files: [] as string[], packages: [] as string[] };
  // `import ... from`, `export ... from` (also when they end on a later line), and import().
  const pattern = /^(?:import|export|\})[^'\n]*\bfrom '([^']+)'|\bimport\('([^']+)'\)/gm;
  for (const match of text.matchAll(pattern)) {
    const target = match[1] ?? match[2]!;
    if (target.startsWith('node:')) continue;
    if (target.startsWith('.')) found.files.push(relative(root, join(root, dirname(file), target)));
    else found.packages.push(target.split('/')[0]!);
  }
  return found;
}

/** Functions, classes and constants; types may be exported for those who read them. */
function namesExportedBy(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /^export (?:async )?(?:abstract )?(?:function\*?|class|const) ([\w$]+)/gm;
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

/** `FILE NAME` for each name that is imported; `FILE *` where it may be any. */
function namesImportedBy(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /(?:\{([^{}]*)\}|\* as \w+) from '(\.[^']+)'|import\('(\.[^']+)'\)/g;
  return [...text.matchAll(pattern)].flatMap(([, names = '*', target, later = '']) => {
    const from = relative(root, join(root, dirname(file), target ?? later));
    const words = names.split(',').map((name) => name.replace(/^\s*type | as .*$/gs, '').trim());
    return words.map((word) => `${from} ${word}`);
  });
}

function allowedFor(file: string): readonly string[] {
  const place = Object.keys(arrows)
    .filter((candidate) => isBelow(file, candidate))
    .sort((a, b) => b.length - a.length)[0];
  expect(place, `${file} has no place in the table of arrows`).toBeDefined();
  return [place!, ...arrows[place!]!];
}

function isForbidden(file: string, target: string): boolean {
  return forbidden.some(([from, to]) => isBelow(file, from) && isBelow(target, to));
}

function isBelow(file: string, place: string): boolean {
  return file === place || file.startsWith(`${place}/`);
}
