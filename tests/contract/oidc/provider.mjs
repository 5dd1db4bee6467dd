// An OpenID Connect provider on localhost: node provider.mjs <base address of the console> [claims in the ID token]
// Prints its issuer when it is up. Everybody signs in with any password; who they are decides what the tokens say.
import { createServer } from "node:http";
import { exportJWK, generateKeyPair, importJWK, SignJWT, decodeJwt } from "jose";
import Provider from "oidc-provider";

const [base, inIdToken] = process.argv.slice(2);
const groups = { olga: ["staff", "meter-admins"], bill: "finance", vera: ["readers", "finance"], norma: ["cooks"], tess: ["readers"] };
const tenants = { olga: "*", bill: ["acme"], vera: ["acme", "other"], norma: ["acme"], tess: [] };

// Tokens that this provider signs with its own key but must not have issued to the console.
const wrong = {
  "other-audience": { aud: "somebody-else" },
  "two-audiences": { aud: ["console", "somebody-else"] },
  "other-issuer": { iss: "http://localhost:1" },
  expired: { exp: 1_700_000_000 },
  "other-nonce": { nonce: "guessed" },
};

const pair = await generateKeyPair("RS256", { extractable: true });
const key = { ...(await exportJWK(pair.privateKey)), kid: "only", use: "sig", alg: "RS256" };

const server = createServer().listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  const client = { redirect_uris: [`${base}/login/oidc/callback`], post_logout_redirect_uris: [`${base}/login`] };
  const provider = new Provider(issuer, {
    clients: [
      { ...client, client_id: "console", client_secret: "s3cret" },
      { ...client, client_id: "public", token_endpoint_auth_method: "none" },
    ],
    claims: { openid: ["sub"], profile: ["preferred_username", "groups", "tenants"] },
    conformIdTokenClaims: !inIdToken,
    cookies: { keys: ["of the test"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: groups[id] ?? ["meter-admins"], tenants: tenants[id] ?? "*" }),
    }),
    jwks: { keys: [key] },
    pkce: { required: () => true },
  });
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.path !== "/token" || !ctx.body?.id_token) return;
    const claims = decodeJwt(ctx.body.id_token);
    const change = wrong[claims.sub];
    if (!change) return;
    const signer = new SignJWT({ ...claims, ...change }).setProtectedHeader({ alg: "RS256", kid: "only" });
    ctx.body = { ...ctx.body, id_token: await signer.sign(await importJWK(key, "RS256")) };
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
