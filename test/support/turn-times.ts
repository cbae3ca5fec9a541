// How long the event loop stood still at the most while something ran, by the CPU time of the thread: what
// other processes of a loaded machine take does not count.

export interface TurnTimes {
  /** ms. */
  longest(): number;
}

export function watchTurns(): TurnTimes & { stop(): void } {
  let longest = 0;
  let isOver = false;
  let before = cpuMs();
  const look = (): void => {
    const now = cpuMs();
    longest = Math.max(longest, now - before);
    before = now;
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  return {
    longest: () => longest,
    stop: () => {
      isOver = true;
    },
  };
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
