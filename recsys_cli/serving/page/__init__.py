"""What a browser sees of a service: one page, without build step or outside resource."""

from recsys_cli.serving.page.routes import routes as routes
