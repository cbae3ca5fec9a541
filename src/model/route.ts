/** One rule of a router: requests for this host and path go to this service. */
export interface Route {
  /** Lower case; `*.example.com` matches one label or more; '' matches any host. */
  readonly host: string;
  /** Path prefix, matched at segment borders; `/` matches any path. */
  readonly path: string;
  readonly service: string;
  /** Prefix taken off the path before it is forwarded; '' for none. */
  readonly stripPrefix: string;
  /** Prefix put before the path; '' for none. */
  readonly addPrefix: string;
  /** Host sent to the endpoint; '' keeps the client's. */
  readonly rewriteHost: string;
  /** When set, the request is answered with this redirect instead. */
  readonly redirect: { readonly status: number; readonly location: string } | null;
}
