with

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

-- A map costs more than all the money of its row, and a day's pods share a few: it is made
-- once a description. By day, so that whoever reads a day makes a day's maps only.
described as (

    select distinct
        billing_month,
        usage_hour::date as usage_date,
        cluster_name,
        node_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        {{ nearest_controller() }} as nearest_controller,
        labels
    from pod_costs

),

entered as (

    select
        *,
        {{ known_entries([
            ('aws_eks_cluster_name', 'cluster_name'),
            ('aws_eks_deployment', 'deployment'),
            ('aws_eks_namespace', 'namespace'),
            ('aws_eks_node', 'node_name'),
            ('aws_eks_workload_name', 'coalesce(nearest_controller, workload_name)'),
            ('aws_eks_workload_type', aws_workload_type()),
        ]) }} || {{ label_entries('labels') }} as tag_entries
    from described

),

final as (

    select
        billing_month,
        usage_date,
        cluster_name,
        node_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        nearest_controller,
        labels,
        {{ map_of_entries('tag_entries') }} as resource_tags -- noqa: PRS
    from entered

)

select * from final
