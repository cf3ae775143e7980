with

pod_hours as (

    select * from {{ ref('stg_k8s__pod_hours') }}

),

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

final as (

    select
        pod_hours.billing_month,
        pod_hours.cluster_name,
        pod_hours.instance_id,
        pod_hours.usage_hour,
        pod_hours.pod_uid,
        pod_hours.bound_seconds
    from pod_hours
    left join node_hours
        on
            pod_hours.billing_month = node_hours.billing_month
            and pod_hours.instance_id = node_hours.instance_id
            and pod_hours.usage_hour = node_hours.usage_hour
    where node_hours.instance_id is null

)

select * from final
