set(api_sources api_http.c api_routes.c api_hosts.c api_protection.c api_jobs.c api_points.c api_export.c)
