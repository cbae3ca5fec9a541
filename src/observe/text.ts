// Numbers as people read them in the dashboard.

/** 1234567 -> 1,234,567. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** 1234567 -> 1.2 MB. */
export function bytes(value: number): string {
  let rest = value;
  let unit = 0;
  // 999.95 would be written as 1000.0.
  while (rest >= 999.95 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${count(rest)} B` : `${rest.toFixed(rest < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

/** Per second: 0.4, 12, 1,234. */
export function rate(value: number): string {
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

/** Milliseconds: 0.42, 3.1, 250. */
export function milliseconds(value: number): string {
  if (value === 0) return '';
  if (value < 1) return value.toFixed(2);
  return value < 99.5 ? value.toFixed(1) : count(value);
}

/** Milliseconds as 42s, 3m 10s, 5h 2m, 12d 3h. The page's script has the same. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** HH:MM:SS, UTC. */
export function clockTime(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}
