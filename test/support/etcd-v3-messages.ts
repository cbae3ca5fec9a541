// What a member of etcd v3 says by its JSON gateway, for scripted ones: keys lie below /backends.
export const b64 = (text: string) => Buffer.from(text).toString('base64');

export const header = (revision: number, cluster = '77') => ({
  cluster_id: cluster,
  member_id: '1',
  revision: String(revision),
});

export const kv = (key: string, revision: number, value = '10.0.0.1:80') => ({
  ...{ key: b64(`/backends/${key}`), value: b64(value) },
  ...{ create_revision: String(revision), mod_revision: String(revision), version: '1' },
});

/** The answer to a range: each key has a revision of its own. */
export const listed = (revision: number, keys: readonly string[], cluster?: string) => ({
  header: header(revision, cluster),
  kvs: keys.map((key, i) => kv(key, i + 1)),
  count: String(keys.length),
});

/** The first message of a watch. */
export const created = (revision: number, cluster?: string) => ({
  result: { header: header(revision, cluster), created: true },
});

/** A message of a watch. */
export const events = (revision: number, ...all: unknown[]) => ({
  result: { header: header(revision), events: all },
});
