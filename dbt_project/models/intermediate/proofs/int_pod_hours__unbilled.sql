with

pod_hours as (

    select * from {{ ref('stg_k8s__pod_hours') }}

),

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

-- The bill knows these by themselves.
of_fargate as (

    select distinct
        billing_month,
        pod_uid,
        usage_hour
    from {{ ref('int_fargate_pod_hours') }}

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
    left join of_fargate
        on
            pod_hours.billing_month = of_fargate.billing_month
            and pod_hours.pod_uid = of_fargate.pod_uid
            and pod_hours.usage_hour = of_fargate.usage_hour
    where node_hours.instance_id is null and of_fargate.pod_uid is null

)

select * from final
