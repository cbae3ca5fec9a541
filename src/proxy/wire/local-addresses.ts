// The addresses of this machine, which come and go: an address that fails over is a listener's from the
// moment on in which it is here.
import { networkInterfaces } from 'node:os';

/** How often they are looked at: a system call of some tens of microseconds. */
const LOOK_MS = 2000;
/** With more than these a listener on every address has one socket for all of them. */
export const ADDRESSES_MAX = 64;

/** Addresses that a socket can be bound to; those of a link alone are left out, as they need its name. */
export function localAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const usable = all.filter(({ scopeid = 0 }) => scopeid === 0).map(({ address }) => address);
  return [...new Set(usable)].sort();
}

/** Calls `onChange` whenever the addresses are others than before; returns what ends that. */
export function watchAddresses(
  addresses: () => readonly string[],
  onChange: () => void,
  everyMs = LOOK_MS,
): () => void {
  let known = addresses().join();
  const timer = setInterval(() => {
    const now = addresses().join();
    if (now === known) return;
    known = now;
    onChange();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
