with

nodes as (

    select * from {{ ref('stg_k8s__node_hours') }}

),

-- The first label that a node has names its pool.
pooled as (

    select
        billing_month,
        instance_id,
        usage_hour,
        coalesce(
            {% for name in node_pool_labels() -%}
            {{ label('labels', name) }}{{ ',' if not loop.last }}
            {% endfor %}
        ) as node_pool
    from nodes

),

final as (

    select
        billing_month,
        instance_id,
        min_by(node_pool, usage_hour) as node_pool
    from pooled
    where node_pool is not null
    group by billing_month, instance_id

)

select * from final
