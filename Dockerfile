# One image for every role; its command decides what it does: start --roles api, start --roles worker, migrate up.
# It brings neither Postgres nor Redis: DATABASE_URL and REDIS_URL say where they are.

FROM node:24-bookworm-slim

ENV NODE_ENV=production
WORKDIR /app

COPY package.json package-lock.json ./
# The optional packages are the Postgres and the Node of installations without containers.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund --loglevel=error && npm cache clean --force

COPY bin bin
COPY scripts/build-web.mjs scripts/build-web.mjs
COPY web web
COPY src src
COPY migrations migrations
RUN node scripts/build-web.mjs

RUN mkdir /data && chown node /data
VOLUME /data

USER node
EXPOSE 8470
# No shell in between: SIGTERM begins the drain.
ENTRYPOINT ["/app/bin/poststelle"]
CMD ["start"]
