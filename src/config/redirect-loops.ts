// Redirects of one router that lead back to themselves, directly or by way of others. A redirect is
// followed as a client follows it: from a request that the route answers to the location, and on from
// the route that answers there. It loops when its own route answers again before any other does twice.
//
// Each step is the same for every client, so all ways together are a graph in which every node has
// one successor at most: trees that end, and trees that run into a ring. The answer for each start is
// read off the way ahead of it, in one walk over the whole graph from its ends backwards.
import { expandLocation, type Route, routesInOrder } from '../model/route.ts';
import { RouteTable } from '../model/route-table.ts';

/** A request for `href` that the route answers. */
interface Node {
  readonly route: Route;
  readonly at: URL;
  /** Redirects from the nearest start. */
  readonly depth: number;
  /** -1: it leads elsewhere. */
  next: number;
}

export interface RedirectLoop {
  /** The routes in the order of the way; the first one comes before the others in the list. */
  readonly way: readonly Route[];
}

/**
 * Locations with variables may lead every client to another place: so many requests per route are
 * followed, and what is beyond counts as led elsewhere.
 */
const NODES_PER_ROUTE = 20;
const NODES_MIN = 1000;
/** No listener takes a longer target. */
const HREF_LENGTH_MAX = 16 * 1024;

/** The loops among `routes` of a router on these ports, each once; in order of their first route. */
export function redirectLoopsOf(
  routes: readonly Route[],
  ports: readonly number[],
): RedirectLoop[] {
  const graph = new Graph(routes, ports);
  const ways = new Ways(graph.nodes);
  const order = new Map(routes.map((route, i) => [route, i]));
  const placeOf = (node: number) => order.get(graph.nodes[node]!.route)!;
  const least = (ring: readonly number[]) =>
    ring.reduce((first, node) => Math.min(first, placeOf(node)), placeOf(ring[0]!));
  const firstOf = new Map(ways.rings.map((ring) => [ring, least(ring)]));
  return graph.starts.flatMap((start) => {
    const length = ways.loopLength(start);
    if (length === 0) return [];
    const way: Route[] = [];
    const first = placeOf(start);
    const ring = ways.ringOf.get(graph.nodes[start]!.next);
    // Once round a ring is the whole ring, from wherever it is entered.
    if (ring?.length === length && firstOf.get(ring)! < first) return [];
    for (let node = start; way.length < length; node = graph.nodes[node]!.next) {
      const { route } = graph.nodes[node]!;
      // Reported at another of its routes.
      if (order.get(route)! < first) return [];
      way.push(route);
    }
    return [{ way }];
  });
}

class Graph {
  readonly nodes: Node[] = [];
  /** The first node of each route that redirects. */
  readonly starts: readonly number[];
  private readonly known = new Map<Route, Map<string, number>>();
  private readonly table: RouteTable;
  private readonly ports: readonly number[];

  constructor(routes: readonly Route[], ports: readonly number[]) {
    this.ports = ports;
    this.table = new RouteTable(routesInOrder(routes));
    const redirects = routes.filter(({ redirect }) => redirect !== null);
    const max = NODES_MIN + NODES_PER_ROUTE * redirects.length;
    this.starts = redirects.map((route) => this.nodeFor(route, requestFor(route, ports), 0));
    // Those that are found are appended, and followed in their turn.
    for (let i = 0; i < this.nodes.length && i < max; i += 1) {
      const node = this.nodes[i]!;
      // After so many redirects some route has answered twice.
      if (node.depth < redirects.length) this.follow(node);
    }
  }

  private follow(node: Node): void {
    const to = destination(node.route, node.at, this.ports);
    const route = to === null ? null : this.table.match(to.hostname, to.pathname);
    if (to !== null && route !== null && route.redirect !== null) {
      node.next = this.nodeFor(route, to, node.depth + 1);
    }
  }

  private nodeFor(route: Route, at: URL, depth: number): number {
    let places = this.known.get(route);
    if (places === undefined) {
      places = new Map();
      this.known.set(route, places);
    }
    let index = places.get(at.href);
    if (index === undefined) {
      index = this.nodes.length;
      places.set(at.href, index);
      this.nodes.push({ route, at, depth, next: -1 });
    }
    return index;
  }
}

/** What lies ahead of each node. */
class Ways {
  private readonly nodes: readonly Node[];
  /** Steps until the node's own route answers again; Infinity: it never does. */
  private readonly again: number[];
  /** Steps that can be taken from a node on before a route has answered twice. */
  private readonly distinct: number[];
  private readonly before: number[][];
  readonly rings: readonly (readonly number[])[];
  /** By the nodes that lie on one. */
  readonly ringOf = new Map<number, readonly number[]>();
  /** Depths at which a route answers on the way ahead, the nearest last. */
  private readonly depths = new Map<Route, number[]>();

  constructor(nodes: readonly Node[]) {
    this.nodes = nodes;
    this.again = nodes.map(() => Number.POSITIVE_INFINITY);
    this.distinct = nodes.map(() => 0);
    this.before = nodes.map(() => []);
    for (const [i, { next }] of nodes.entries()) if (next >= 0) this.before[next]!.push(i);
    for (const [i, { next }] of nodes.entries()) if (next < 0) this.walkBack(i, 0, null);
    this.rings = ringsOf(nodes);
    for (const ring of this.rings) {
      for (const node of ring) this.ringOf.set(node, ring);
      this.walkRing(ring);
    }
  }

  /** How many routes the loop has that begins and ends with this start; 0: there is none. */
  loopLength(start: number): number {
    const length = this.again[start]!;
    if (length === Number.POSITIVE_INFINITY) return 0;
    const { next } = this.nodes[start]!;
    return this.distinct[next]! >= length - 1 ? length : 0;
  }

  /** Whoever runs round a ring meets it again: once more ahead of it is as good as for ever. */
  private walkRing(ring: readonly number[]): void {
    const { length } = ring;
    for (let i = length - 1; i >= 0; i -= 1) this.enter(ring[i]!, length - 1 - i);
    for (let i = length - 1; i >= 0; i -= 1) {
      const node = ring[i]!;
      const depth = 2 * length - 1 - i;
      // Of a node on a ring nothing is known at first: at most all of the ring can be distinct.
      const isFirst = i === length - 1;
      this.measure(node, depth, isFirst ? length : this.distinct[ring[i + 1]!]!);
      this.enter(node, depth);
    }
    // With the way round known, what was taken for granted about the first is made good.
    for (let i = length - 1; i >= 0; i -= 1) {
      const behind = this.distinct[ring[(i + 1) % length]!]!;
      this.distinct[ring[i]!] = Math.min(behind + 1, this.again[ring[i]!]!);
    }
    for (let i = 0; i < length; i += 1) {
      const node = ring[i]!;
      for (const one of this.before[node]!) {
        if (this.ringOf.get(one) !== ring) this.walkBack(one, 2 * length - i, node);
      }
      this.leave(node);
    }
    for (const node of ring) this.leave(node);
  }

  /** Measures a tree from its root back to its leaves, without recursion. */
  private walkBack(root: number, rootDepth: number, ahead: number | null): void {
    const stack: [node: number, depth: number, isLeft: boolean][] = [[root, rootDepth, false]];
    while (stack.length > 0) {
      const [node, depth, isLeft] = stack.pop()!;
      if (isLeft) {
        this.leave(node);
        continue;
      }
      const next = node === root ? ahead : this.nodes[node]!.next;
      this.measure(node, depth, next === null ? 0 : this.distinct[next]!);
      this.enter(node, depth);
      stack.push([node, depth, true]);
      for (const one of this.before[node]!) stack.push([one, depth + 1, false]);
    }
  }

  private measure(node: number, depth: number, ahead: number): void {
    const nearest = this.depths.get(this.nodes[node]!.route)?.at(-1);
    this.again[node] = nearest === undefined ? Number.POSITIVE_INFINITY : depth - nearest;
    this.distinct[node] = Math.min(ahead + 1, this.again[node]!);
  }

  private enter(node: number, depth: number): void {
    const { route } = this.nodes[node]!;
    const depths = this.depths.get(route);
    if (depths === undefined) this.depths.set(route, [depth]);
    else depths.push(depth);
  }

  private leave(node: number): void {
    this.depths.get(this.nodes[node]!.route)!.pop();
  }
}

/** The rings of the graph, each from some node on. */
function ringsOf(nodes: readonly Node[]): number[][] {
  const rings: number[][] = [];
  /** The walk in which a node was seen first. */
  const seenIn = nodes.map(() => -1);
  for (let start = 0; start < nodes.length; start += 1) {
    let at = start;
    while (at >= 0 && seenIn[at] === -1) {
      seenIn[at] = start;
      at = nodes[at]!.next;
    }
    if (at < 0 || seenIn[at] !== start) continue;
    const ring = [at];
    for (let node = nodes[at]!.next; node !== at; node = nodes[node]!.next) ring.push(node);
    rings.push(ring);
  }
  return rings;
}

/** A request that this route answers, where no narrower one does. */
function requestFor({ host, path }: Route, ports: readonly number[]): URL {
  const name = host === '' ? 'any.invalid' : host.replace(/^\*/, 'any');
  const port = ports[0] ?? 80;
  return URL.parse(path, `http://${name}:${port}`) ?? new URL(`http://any.invalid:${port}/`);
}

/** Where a client that asked for `asked` goes; null where that is not this router. */
function destination(route: Route, asked: URL, ports: readonly number[]): URL | null {
  const { hostname: host, pathname: path, search } = asked;
  const values = { host, path, request_uri: path + search };
  const url = URL.parse(expandLocation(route.redirect?.location ?? '', values), asked.href);
  // A listener speaks http; what another port answers is not known here.
  if (url === null || url.protocol !== 'http:' || url.href.length > HREF_LENGTH_MAX) return null;
  const isHere = ports.includes(Number(url.port || 80)) || url.host === asked.host;
  return isHere ? url : null;
}
