// What the kernel counted for a program: CPU time and memory, of its process and its children.
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: what /proc tells times in, on every Linux that we know of. */
const US_PER_TICK = 10_000;

/** User and system time of the program with all its threads so far, microseconds. */
export function cpuUs(pid: number): number {
  return sum(pid, (one) => {
    const fields = statFields(one);
    return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
  });
}

/** The most memory that was ever resident, MiB. */
export function peakMemoryMib(pid: number): number {
  return sum(pid, (one) => statusKib(one, 'VmHWM')) / 1024;
}

/** Resident memory now, bytes. */
export function residentBytes(pid: number): number {
  return sum(pid, (one) => statusKib(one, 'VmRSS')) * 1024;
}

function sum(pid: number, read: (pid: number) => number): number {
  return [pid, ...childrenOf(pid)].reduce((total, one) => total + read(one), 0);
}

function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return all.map(Number).filter((one) => {
    try {
      return Number(statFields(one)[1]) === pid;
    } catch {
      // It has ended since.
      return false;
    }
  });
}

/** The fields of /proc/PID/stat after the name, which may hold spaces itself (proc(5)). */
function statFields(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function statusKib(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}
