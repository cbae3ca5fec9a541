// Preloaded into a launcher: it takes the Node that it runs on for an older one.
// OLDER_NODE=20.20.2 can only start a child, 22.15.0 can replace itself.
const version = process.env.OLDER_NODE;
Object.defineProperty(process.versions, 'node', { value: version });
if (version.startsWith('20.')) delete process.execve;
