// Names of certificates beside hosts of routes.

/** Whether a name that the certificate is for could be routed by this host. */
export function doMeet(name: string, host: string): boolean {
  if (name === host) return true;
  const within = (wide: string, narrow: string): boolean =>
    wide.startsWith('*.') && narrow.replace(/^\*/, 'x').endsWith(wide.slice(1));
  // A wildcard of a route stands for several labels, that of a certificate for one.
  const isOneLabel = name.startsWith('*.') && host.split('.').length === name.split('.').length;
  return within(host, name) || (isOneLabel && within(name, host));
}
